"""Truncated rejection sampling with the paper's bound."""

from collections.abc import Callable
from typing import ClassVar, TypeVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jax.nn import log_sigmoid
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import check_at_least, check_scalar, split
from ..core.density import AbstractDensity
from ..core.numerics import log_sum_exp
from .truncated_rejection import log_reject, propose

X = TypeVar("X")


class IndexedTruncatedRejection(AbstractDensity[X]):
    """`TruncatedRejection` with the bound of its paper: the number `i` of proposals is
    drawn from `q(i) ~ (1 - Z)^(i-1) a(x)^[i<T]`, with `Z = sigmoid(logit)` learned.

    The gradient of `log_prob` leaves out the draw of `i`: train with `index_summed`.
    """

    proposal: AbstractDensity[X]
    energy: Callable[[X], Float[Array, ""]]
    num: int = eqx.field(static=True)
    logit: Float[Array, ""] = eqx.field(default=0.0, converter=jnp.asarray)
    exact: ClassVar[bool] = False
    reparameterised: ClassVar[bool] = False

    def __check_init__(self):
        check_at_least("IndexedTruncatedRejection: num", self.num, 1)

    def sample_and_log_prob(self, key):
        keys, energies, i = propose(key, self.proposal, self.energy, self.num)
        x, log_proposal = self.proposal.sample_and_log_prob(keys[i])
        rejected = log_sigmoid(energies)[:-1]
        log_q = self.log_index(energies[i])
        return x, log_proposal + self._log_ratio(energies[i], i, log_q, rejected)

    def log_prob(self, key, x):
        pkey, nkey, ikey = split(key, 3)
        energy = check_scalar("The energy", self.energy(x))
        log_q = self.log_index(energy)
        i = jr.categorical(ikey, log_q)
        rejected = log_reject(nkey, self.proposal, self.energy, self.num - 1)
        log_ratio = self._log_ratio(energy, i, log_q, rejected)
        return self.proposal.log_prob(pkey, x) + log_ratio

    def log_index(self, energy: Float[Array, ""]) -> Float[Array, " T"]:
        """`log q(i)`, for i = 1 .. T, at a point with this energy."""
        logits = self.logits(energy)
        return logits - log_sum_exp(logits)

    def logits(self, energy: Float[Array, ""]) -> Float[Array, " T"]:
        """`log [(1 - Z)^(i-1) a^[i<T]]`."""
        i = jnp.arange(self.num)
        return i * log_sigmoid(-self.logit) + self._log_accept(energy, i)

    def _log_accept(self, energy, i):
        """`[i<T] log a`; `i` counts from zero."""
        return jnp.where(i < self.num - 1, log_sigmoid(-energy), 0.0)

    def _log_ratio(self, energy, i, log_q, rejected):
        """`[i<T] log a + sum_{t<i} log(1 - a_t) - log q(i)`."""
        before = jnp.where(jnp.arange(self.num - 1) < i, rejected, 0.0)
        return self._log_accept(energy, i) + jnp.sum(before) - log_q[i]


def index_summed(
    key: PRNGKeyArray, density: IndexedTruncatedRejection[X], x: X
) -> Float[Array, ""]:
    """The paper's bound with `i` summed out, `log pi + (1 - q(T)) log a + E_q[i-1] m +
    H(q)`, with `m = E_pi[log(1 - a)]` from `num` proposals: to be maximised. It is

        log pi + log sum_i (1 - Z)^(i-1) a^[i<T] + E_q[i-1] (m - log(1 - Z)).

    A loss only: a sum of expected logs, never the log of an unbiased estimate. With
    one key for a batch the proposals are drawn once.
    """
    pkey, nkey = split(key)
    energy = check_scalar("The energy", density.energy(x))
    rejected = log_reject(nkey, density.proposal, density.energy, density.num)
    logits = density.logits(energy)
    total = log_sum_exp(logits)
    late = jnp.sum(jnp.exp(logits - total) * jnp.arange(density.num))  # E_q[i - 1]
    beyond = jnp.mean(rejected) - log_sigmoid(-density.logit)
    return density.proposal.log_prob(pkey, x) + total + late * beyond
