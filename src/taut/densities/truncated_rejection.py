"""Truncated rejection sampling as a density."""

from collections.abc import Callable
from typing import ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.nn import log_sigmoid
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..core.checks import check_at_least, check_scalar, particle_keys, split
from ..core.density import AbstractDensity
from ..core.numerics import log_sum_exp
from .stage import draw_with_path

X = TypeVar("X")


class TruncatedRejection(AbstractDensity[X]):
    """The first of at most `num` proposals that is accepted, each with probability
    `a = sigmoid(-energy)`; the last always (TRS; Lawson et al., 2019).

    The number of proposals it took is summed out given the others (ours).
    """

    proposal: AbstractDensity[X]
    energy: Callable[[X], Float[Array, ""]]
    num: int = eqx.field(static=True)
    exact: ClassVar[bool] = False
    reparameterised: ClassVar[bool] = False

    def __check_init__(self):
        check_at_least("TruncatedRejection: num", self.num, 1)

    def sample_and_log_prob(self, key):
        keys, energies, i = propose(key, self.proposal, self.energy, self.num)
        x, log_proposal = self.proposal.sample_and_log_prob(keys[i])
        # All proposals but the i-th: the rejected ones, then ones not looked at.
        t = jnp.arange(self.num - 1)
        others = log_sigmoid(energies[t + (t >= i)])
        return x, log_proposal + self.log_ratio(energies[i], others)

    def log_prob(self, key, x):
        pkey, nkey = split(key)
        rejected = log_reject(nkey, self.proposal, self.energy, self.num - 1)
        log_ratio = self.log_ratio(check_scalar("The energy", self.energy(x)), rejected)
        return self.proposal.log_prob(pkey, x) + log_ratio

    def log_ratio(
        self, energy: Float[Array, ""], rejected: Float[Array, " others"]
    ) -> Float[Array, ""]:
        """`log [a sum_{i<T} prod_{t<i} (1 - a_t) + prod_{t<T} (1 - a_t)]`, from the log
        rejection probabilities of T - 1 other proposals.
        """
        if self.num == 1:
            return jnp.zeros_like(energy)
        # The sum and the last product are free of x: made once for a batch of them.
        reached = jnp.concatenate([jnp.zeros_like(rejected[:1]), jnp.cumsum(rejected)])
        early = log_sigmoid(-energy) + log_sum_exp(reached[:-1])
        return log_sum_exp(jnp.stack([early, reached[-1]]))


def propose(
    key: PRNGKeyArray, proposal: AbstractDensity[X], energy: Callable, num: int
) -> tuple[PRNGKeyArray, Float[Array, " num"], Int[Array, ""]]:
    """Keys and energies of `num` proposals, and which is the first accepted one."""
    xkey, akey = split(key)
    keys = particle_keys(xkey, num)
    one = lambda key: check_scalar("The energy", energy(proposal.sample(key)))
    energies = jax.vmap(one)(keys)
    energies = eqx.error_if(
        energies,
        jnp.any(jnp.isnan(energies)),
        "Expected energies that are numbers; that of a proposal is NaN, which can be "
        "neither accepted nor rejected. Look for overflow in the energy.",
    )
    log_uniform = -jr.exponential(akey, (num,))
    accepted: Bool[Array, " num"] = log_uniform < log_sigmoid(-energies)
    return keys, energies, jnp.argmax(accepted.at[-1].set(True))


def log_reject(
    key: PRNGKeyArray, proposal: AbstractDensity[X], energy: Callable, num: int
) -> Float[Array, " num"]:
    """The log rejection probabilities of `num` fresh proposals."""
    draw = lambda key: energy(draw_with_path(key, proposal))
    one = lambda key: log_sigmoid(check_scalar("The energy", draw(key)))
    return jax.vmap(one)(particle_keys(key, num))


def log_closed_form(
    log_accept: Float[Array, ""], rate: Float[Array, ""], num: int
) -> Float[Array, ""]:
    """`log [a (1 - (1-Z)^(T-1)) / Z + (1-Z)^(T-1)]`: the density over the proposal's,
    given the acceptance rate `Z = E[a]`.
    """
    check_at_least("num", num, 1)
    if num == 1:
        return jnp.zeros_like(log_accept)
    # A rate that was rounded to 0 or 1 stands for one just inside.
    limits = jnp.finfo(rate.dtype)
    rate = jnp.clip(rate, limits.tiny, 1 - limits.epsneg)
    late = (num - 1) * jnp.log1p(-rate)
    early = log_accept + jnp.log(-jnp.expm1(late)) - jnp.log(rate)
    return log_sum_exp(jnp.stack([early, late]))
