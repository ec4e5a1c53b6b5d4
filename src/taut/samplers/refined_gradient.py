"""Gradient estimators for refinements, with one signature and the same values."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..core.checks import check_at_least, particle_keys, split
from ..core.density import AbstractTarget
from ..core.gradient import graft, log_terms, stop
from ..core.particles import Particles, map_particles
from .weights import weighed

if TYPE_CHECKING:
    from .refined import Refined

RefinedDraw: TypeAlias = Callable[[PRNGKeyArray, AbstractTarget, "Refined"], Particles]


def _held(key, target, sampler):
    """The particles, without derivatives, and the keys of their estimates."""
    pkey, tkey = split(key)
    keys = particle_keys(tkey, sampler.num)
    return stop(sampler).path(pkey, keys, stop(target)), keys


def decoupled(key, target, sampler):
    """As published: the model's gradient is `sum_i r_i d log p(x, z_i)`, with draws and
    proposals held; `weights` are trained; the proposal is not (it has its own loss).
    """
    held, keys = _held(key, target, sampler)
    again = map_particles(lambda k, z: log_terms(target, k, z), sampler.chunk)
    terms = again(keys, held.value)
    likelihood = held.log_likelihood
    particles = Particles(
        held.value,
        graft(held.log_target, terms[0]),
        graft(held.log_weight, sampler.annealed(terms)),
        None if likelihood is None else graft(likelihood, terms[1]),
        held.diagnostics,
    )
    return weighed(particles, sampler.weights)


def resampled(key, target, sampler, *, indices=1):
    """BSVI-SIR: the model's gradient from `indices` draws chosen by weight, so that the
    backward pass costs the same for any number of steps. `weights` as in `decoupled`.
    """
    check_at_least("resampled: indices", indices, 1)
    rkey, ikey = split(key)
    held, keys = _held(rkey, target, sampler)
    particles = weighed(held, sampler.weights)
    log_weight = stop(particles.log_weight)
    chosen = jr.categorical(ikey, log_weight, shape=(indices,))
    values = jax.tree_util.tree_map(lambda a: a[chosen], held.value)
    again = jax.vmap(lambda k, z: sampler.annealed(log_terms(target, k, z)))
    donors = again(keys[chosen], values)
    credit = jnp.mean(graft(jnp.zeros_like(donors), donors))
    return Particles(
        held.value,
        held.log_target,
        particles.log_weight + credit,
        held.log_likelihood,
        held.diagnostics,
    )


def unrolled(key, target, sampler):
    """Through the steps as well (semi-amortised: Kim et al., 2018): the proposal, the
    step sizes and the momentum are trained on the bound. Costs second derivatives.
    """
    pkey, tkey = split(key)
    path = sampler.path(pkey, particle_keys(tkey, sampler.num), target)
    return weighed(path, sampler.weights)
