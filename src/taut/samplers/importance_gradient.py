"""Gradient estimators for K independent draws from a proposal.

Every estimator returns the same particles: only the derivative of `log_weight` differs,
chosen so that differentiating `Particles.log_z` gives the estimator of that name.
"""

import math
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..core.checks import check_at_least, particle_keys, split
from ..core.density import AbstractDensity, AbstractTarget
from ..core.gradient import graft, log_terms, squared_weights, stop, through, with_zeros
from ..core.numerics import log_mean_exp
from ..core.particles import Particles, map_particles
from ..leave_one_out import log_sum_of_others, signal, sum_of_others

Z = TypeVar("Z")
Draw: TypeAlias = Callable[
    [PRNGKeyArray, AbstractTarget[Z], AbstractDensity[Z], int, int | None], Particles[Z]
]


def _require(q: AbstractDensity, name: str, *, reparameterised: bool) -> None:
    if not q.exact:
        raise TypeError(
            f"`{name}` evaluates the proposal at held draws or parameters, which needs "
            f"a density that is exact; {type(q).__name__} is estimated. Use `reparam`."
        )
    if reparameterised and not q.reparameterised:
        raise TypeError(
            f"`{name}` differentiates through the draws, which {type(q).__name__} does "
            "not allow. Use `vimco` or `reinforce`."
        )


def _weigh(target, key, z, log_q):
    """One particle: value, log target, log weight, log likelihood."""
    log_target, log_likelihood = log_terms(target, key, z)
    return z, log_target, log_target - log_q, log_likelihood


def reparam(key, target, q, num, chunk=None):
    """Differentiate through the draws and the weights alike."""
    check_at_least("num", num, 1)

    def one(key):
        qkey, pkey = split(key)
        z, log_q = q.sample_and_log_prob(qkey)
        return _weigh(target, pkey, through(z, q), log_q)

    return Particles(*map_particles(one, chunk)(particle_keys(key, num)))


def detached(key, target, q, num, chunk=None):
    """Hold the draws and the proposal: the gradient of the model, none of `q`."""
    return _held(key, target, stop(q), num, chunk)


def _held(key, target, q, num, chunk):
    def one(key):
        qkey, pkey = split(key)
        z, log_q = q.sample_and_log_prob(qkey)
        return _weigh(target, pkey, stop(z), stop(log_q))

    check_at_least("num", num, 1)
    return Particles(*map_particles(one, chunk)(particle_keys(key, num)))


def _draws(key, q, num, chunk):
    keys = particle_keys(key, num)
    return keys, map_particles(lambda key: q.sample(split(key)[0]), chunk)(keys)


def _landing(keys, zs, target, q, chunk):
    """Particles whose weights hold the parameters of `log q`, not its path."""
    held = stop(q)

    def one(key, z):
        qkey, pkey = split(key)
        return _weigh(target, pkey, z, held.log_prob(qkey, z))

    return Particles(*map_particles(one, chunk)(keys, zs))


def stl(key, target, q, num, chunk=None):
    """Sticking the landing (Roeder et al., 2017): drop the score. Biased for K > 1."""
    check_at_least("num", num, 1)
    _require(q, "stl", reparameterised=True)
    keys, zs = _draws(key, q, num, chunk)
    return _landing(keys, zs, target, q, chunk)


def dreg(key, target, q, num, chunk=None):
    """Doubly reparameterised (Tucker et al., 2019): weights squared along the path.

    The model's own gradient keeps plain weights, so both may be trained at once.
    """
    check_at_least("num", num, 1)
    _require(q, "dreg", reparameterised=True)
    keys, zs = _draws(key, q, num, chunk)
    zs, zeros = squared_weights(zs, num)
    return with_zeros(_landing(keys, zs, target, q, chunk), zeros)


def _score(key, target, q, num, chunk, baseline):
    """Add to each weight a zero whose derivative is `sum_k signal_k d log q(z_k)`."""

    def one(key):
        qkey, pkey = split(key)
        z = stop(q.sample(qkey))
        log_q = q.log_prob(qkey, z)
        return _weigh(target, pkey, z, log_q), log_q

    check_at_least("num", num, 1)
    fields, log_q = map_particles(one, chunk)(particle_keys(key, num))
    z, log_target, log_weight, log_likelihood = fields
    weights = stop(log_weight)
    brought = signal(log_mean_exp(weights), baseline(weights))
    credit = jnp.sum(brought * (log_q - stop(log_q)))
    return Particles(z, log_target, log_weight + credit, log_likelihood)


def reinforce(key, target, q, num, chunk=None):
    """Score function, no baseline: for exact tests, and for a single particle."""
    _require(q, "reinforce", reparameterised=False)
    return _score(key, target, q, num, chunk, jnp.zeros_like)


def reinforce_loo(key, target, q, num, chunk=None):
    """Score function; the baseline of each draw is the bound of the K - 1 others."""
    _require(q, "reinforce_loo", reparameterised=False)
    check_at_least("num for a leave-one-out baseline", num, 2)
    share = math.log(num - 1)
    baseline = lambda lw: log_sum_of_others(lw) - share
    return _score(key, target, q, num, chunk, baseline)


def vimco(key, target, q, num, chunk=None):
    """Score function (Mnih & Rezende, 2016): in each draw's baseline, the geometric
    mean of the other weights stands in for its own.
    """
    _require(q, "vimco", reparameterised=False)
    check_at_least("num for `vimco`", num, 2)

    def baseline(lw):
        mean = sum_of_others(lw) / (num - 1)
        return jnp.logaddexp(log_sum_of_others(lw), mean) - math.log(num)

    return _score(key, target, q, num, chunk, baseline)


def sir(key, target, q, num, chunk=None, *, indices=1):
    """Differentiate `indices` particles, drawn by weight: a backward pass free of K.

    `grad log Z_hat = E_{i ~ weights}[grad log w_i]`, for model and proposal.
    """
    check_at_least("indices", indices, 1)
    held = _held(key, target, stop(q), num, chunk)
    # No particle has this key.
    ikey = jr.fold_in(key, num)
    chosen = jr.categorical(ikey, stop(held.log_weight), shape=(indices,))

    def again(key):
        qkey, pkey = split(key)
        z, log_q = q.sample_and_log_prob(qkey)
        return _weigh(target, pkey, through(z, q), log_q)[2]

    log_weight = jax.vmap(again)(particle_keys(key, num)[chosen])
    credit = jnp.mean(graft(jnp.zeros_like(log_weight), log_weight))
    fields = stop((held.value, held.log_target, held.log_weight, held.log_likelihood))
    return Particles(fields[0], fields[1], fields[2] + credit, fields[3])
