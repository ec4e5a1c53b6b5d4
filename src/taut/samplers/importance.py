"""Importance sampling with independent draws."""

from collections.abc import Callable
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ..core.checks import check_at_least, check_chunk, particle_keys, split
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity
from ..core.gradient import log_terms, through
from ..core.particles import Particles
from ..core.sampler import AbstractSampler
from .importance_gradient import Draw, reparam
from .proposals import known, put

X = TypeVar("X")
Z = TypeVar("Z")


class Importance(AbstractSampler[Z]):
    """`num` draws from `proposal`. One draw is the ELBO; more, the IWAE bound."""

    proposal: AbstractDensity[Z]
    num: int = eqx.field(static=True, default=1)
    draw: Draw = eqx.field(static=True, default=reparam)
    chunk: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_at_least("Importance: num", self.num, 1)
        check_chunk("Importance: chunk", self.chunk)

    def run(self, key, target):
        return self.draw(key, target, self.proposal, self.num, self.chunk)

    def run_conditional(self, key, target, z, log_target):
        refuse_frozen(target, "`Importance.run_conditional`")
        rkey, qkey = split(key)
        log_weight = log_target - self.proposal.log_prob(qkey, z)
        return self.run(rkey, target).retain(0, z, log_target, log_weight)


class Companions(AbstractSampler[Z]):
    """`num` draws from `proposal`, each given the chance to have brought the others:

    `v_k = gamma(z_k) / q(z_k) * prod_{m != k} companion(z_k)(z_m) / q(z_m)`.

    Given an exact draw the others are its companions, rather than fresh draws; with
    `companion(z) = proposal` it is `Importance`. All densities are exact.
    """

    proposal: AbstractDensity[Z]
    companion: Callable[[Z], AbstractDensity[Z]]
    num: int = eqx.field(static=True)

    def __check_init__(self):
        check_at_least("Companions: num", self.num, 1)
        _exact("proposal", self.proposal)

    def _particles(self, key, target, zs):
        """Particles, and what their log weights add to their log targets."""
        q = self.proposal
        log_q = jax.vmap(lambda z: known(q, z))(zs)

        def one(key, k, z):
            log_target, log_likelihood = log_terms(target, key, z)
            r = self.companion(z)
            _exact("companion", r)
            log_r = jax.vmap(lambda z: known(r, z))(zs)
            others = jnp.where(jnp.arange(self.num) == k, 0.0, log_r - log_q)
            return log_target, log_likelihood, jnp.sum(others) - log_q[k]

        keys, index = particle_keys(key, self.num), jnp.arange(self.num)
        log_target, log_likelihood, rest = jax.vmap(one)(keys, index, zs)
        return Particles(zs, log_target, log_target + rest, log_likelihood), rest

    def run(self, key, target):
        qkey, pkey = split(key)
        draw = lambda key: through(self.proposal.sample(key), self.proposal)
        zs = jax.vmap(draw)(particle_keys(qkey, self.num))
        return self._particles(pkey, target, zs)[0]

    def run_conditional(self, key, target, z, log_target):
        refuse_frozen(target, "`Companions.run_conditional`")
        rkey, pkey = split(key)
        zs = jax.vmap(self.companion(z).sample)(particle_keys(rkey, self.num))
        particles, rest = self._particles(pkey, target, put(zs, 0, z))
        return particles.retain(0, z, log_target, log_target + rest[0])


def _exact(name, density):
    if not density.exact:
        raise TypeError(
            f"Companions: the {name}'s density enters every weight, and must be known; "
            f"got {type(density).__name__}, which is estimated. Use `Importance`."
        )


class Amortized(eqx.Module, Generic[Z, X]):
    """`x -> Importance(guide(x), ...)`, with the guide's parameters in plain sight."""

    guide: Callable[[X], AbstractDensity[Z]]
    num: int = eqx.field(static=True, default=1)
    draw: Draw = eqx.field(static=True, default=reparam)
    chunk: int | None = eqx.field(static=True, default=None)

    def __call__(self, x: X) -> Importance[Z]:
        return Importance(self.guide(x), self.num, self.draw, self.chunk)
