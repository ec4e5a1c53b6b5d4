"""Annealed importance sampling (Neal, 2001), forwards and backwards."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from ..core.checks import (
    check_at_least,
    check_chunk,
    check_scalar,
    particle_keys,
    split,
)
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity, AbstractTarget
from ..core.gradient import graft, log_terms, stop
from ..core.kernel import AbstractKernel
from ..core.numerics import log_mean_exp
from ..core.particles import Particles, map_particles
from ..core.sampler import AbstractSampler
from ..schedules import Betas, checked, values
from .chain import Chain

Z = TypeVar("Z")


class Annealed(AbstractSampler[Z]):
    """`num` chains along `q^(1-b) gamma^b`, weighed as they go and moved by `kernel`.

    `betas` is a fixed array or a learned schedule. `last_move`, at the target, adds no
    weight. Gradients flow through the chains of a reparameterised kernel. Those of
    others are held, and `log_z` has the derivative `sum_k probs_k d log gamma(z_k)`:
    the model's posterior mean (Ding and Freedman), in memory that is free of T.
    """

    proposal: AbstractDensity[Z]
    kernel: AbstractKernel
    betas: Betas
    num: int = eqx.field(static=True)
    last_move: bool = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)

    def __init__(
        self,
        proposal: AbstractDensity[Z],
        kernel: AbstractKernel,
        betas: ArrayLike | Callable[[], Float[Array, " T"]],
        num: int = 1,
        *,
        last_move: bool = True,
        chunk: int | None = None,
    ):
        check_at_least("Annealed: num", num, 1)
        check_chunk("Annealed: chunk", chunk)
        self.proposal, self.kernel, self.betas = proposal, kernel, checked(betas)
        self.num, self.last_move, self.chunk = num, last_move, chunk

    def chain(self, target: AbstractTarget[Z]) -> Chain[Z]:
        """One of the chains, held if gradients may not flow through its moves."""
        betas = values(self.betas)
        chain = Chain(self.proposal, self.kernel, target, betas, self.last_move)
        return chain if self.kernel.reparameterised else stop(chain)

    def run(self, key, target):
        return self._forward(particle_keys(key, self.num), target)

    def run_conditional(self, key, target, z, log_target):
        lane = reverse_chains(key, self, target, z, log_target, 1)
        if self.num == 1:
            return lane
        others = self._forward(particle_keys(key, self.num)[1:], target)
        join = lambda a, b: jnp.concatenate([a, b.astype(a.dtype)])
        return jtu.tree_map(join, lane, others)

    def _forward(self, keys, target):
        chain = self.chain(target)
        ends = map_particles(lambda key: chain.forward(key), self.chunk)(keys)
        if not self.kernel.reparameterised:
            ends = stop(ends)
        z, log_target, log_weight, record = ends
        again = lambda key, z: log_terms(target, split(key)[1], z)
        fresh, log_likelihood = map_particles(again, self.chunk)(keys, z)
        if not self.kernel.reparameterised:
            log_target, log_weight = graft(log_target, fresh), graft(log_weight, fresh)
        return Particles(z, log_target, log_weight, log_likelihood, record)


def reverse_chains(
    key: PRNGKeyArray,
    sampler: Annealed[Z],
    target: AbstractTarget[Z],
    z: Z,
    log_target: Float[Array, ""],
    num: int,
) -> Particles[Z]:
    """`num` chains back to the proposal from `z`, one exact draw of the target.

    Of each, `E[exp(-log_weight)] = 1/Z`. Their values are `z` itself.
    """
    check_at_least("reverse_chains: num", num, 1)
    refuse_frozen((target, sampler), "A reverse chain")
    require_exact(target)
    check_scalar("The target", log_target)
    chain, start = sampler.chain(target), z
    if not sampler.kernel.reparameterised:
        start = stop(z)
    back = map_particles(lambda key: chain.backward(key, start), sampler.chunk)
    log_weight, record = back(particle_keys(key, num))
    many = lambda leaf: jnp.broadcast_to(leaf, (num, *jnp.shape(leaf)))
    z, log_target = jtu.tree_map(many, (z, log_target))
    log_likelihood = jax.vmap(lambda z: log_terms(target, key, z)[1])(z)
    if not sampler.kernel.reparameterised:
        log_weight, record = stop((log_weight, record))
        log_weight = graft(log_weight, log_target)
    return Particles(z, log_target, log_weight, log_likelihood, record)


def harmonic_log_z(log_weight: Float[Array, " M"]) -> Float[Array, ""]:
    """`-log mean exp(-s)` over reverse chains from one exact draw: the upper end of the
    literature (Grosse et al., 2015). It is neither `run_conditional`'s nor paired.
    """
    return -log_mean_exp(-log_weight)


def require_exact(target: AbstractTarget) -> None:
    """Raise where a reversed path needs one function and has only estimates of one."""
    if not target.exact:
        raise TypeError(
            "A reversed path walks one fixed density backwards, which needs a target "
            f"with an exact `log_prob`; this {type(target).__name__} is only "
            "estimated. Its lower end (`run`) is sound. For an upper end use "
            "`Importance`, or a model whose parts are all exact."
        )
