"""Self-normalised importance sampling as a density."""

from collections.abc import Callable
from typing import ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import check_at_least, particle_keys, split
from ..core.density import AbstractDensity
from ..core.numerics import log_sum_exp
from ..core.particles import Particles
from .negatives import Negatives, by_path, log_weigh

X = TypeVar("X")


class SelfNormalized(AbstractDensity[X]):
    """One of `num` proposals, chosen in proportion to `exp(-energy)` (SNIS; Lawson et
    al., 2019). With many it nears `proposal exp(-energy)`; with one it is `proposal`.

    `negatives` draws the others, and decides what they teach the proposal.
    """

    proposal: AbstractDensity[X]
    energy: Callable[[X], Float[Array, ""]]
    num: int = eqx.field(static=True)
    negatives: Negatives = eqx.field(static=True, default=by_path)
    exact: ClassVar[bool] = False
    reparameterised: ClassVar[bool] = False

    def __check_init__(self):
        check_at_least("SelfNormalized: num", self.num, 1)

    def sample_and_log_prob(self, key):
        xkey, ikey = split(key)
        keys = particle_keys(xkey, self.num)
        one = lambda key: log_weigh(self.energy, self.proposal.sample(key))
        log_weight = jax.vmap(one)(keys)
        chosen, first = Particles(keys, log_weight, log_weight).select(ikey)
        # Only the chosen point needs the proposal's estimate: it comes by its own key.
        x, log_proposal = self.proposal.sample_and_log_prob(chosen)
        total = log_sum_exp(log_weight)
        return x, log_proposal + self._log_ratio(first, total)

    def log_prob(self, key, x):
        pkey, nkey = split(key)
        return self.proposal.log_prob(pkey, x) + self.log_ratio(nkey, x)

    def log_ratio(self, key: PRNGKeyArray, x: X) -> Float[Array, ""]:
        """The density at `x` over the proposal's, from below. With one key for many
        points the fresh proposals are drawn once.
        """
        first = log_weigh(self.energy, x)
        total = self.negatives(key, self.proposal, self.energy, self.num, first)
        return self._log_ratio(first, total)

    def _log_ratio(self, first, total):
        """The weight of the point over the mean weight; zero where all are zero."""
        total = jnp.where(jnp.isneginf(total), 0.0, total)
        return (first - total) + jnp.log(self.num).astype(first.dtype)
