"""Learned accept/reject sampling (LARS; Bauer & Mnih, 2019)."""

from collections.abc import Callable
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, sigmoid
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import check_at_least, check_scalar, particle_keys
from ..core.density import AbstractDensity, AbstractTarget
from ..core.gradient import stop
from .stage import draw_with_path
from .truncated_rejection import log_closed_form, propose

X = TypeVar("X")


class Resampled(eqx.Module, Generic[X]):
    """The law of `TruncatedRejection`, by its closed form with an estimate of the
    acceptance rate put in.

    That is a target and a loss, but no bound in either direction, so this is not a
    density: evaluation refuses it. `at(rate)` is the target. The moving average of the
    rate is not a field but training state: see `smoothed`.
    """

    proposal: AbstractDensity[X]
    energy: Callable[[X], Float[Array, ""]]
    num: int = eqx.field(static=True)

    def __check_init__(self):
        check_at_least("Resampled: num", self.num, 1)

    def sample(self, key: PRNGKeyArray) -> X:
        """One event, exactly from the model: it needs no rate."""
        keys, _, i = propose(key, self.proposal, self.energy, self.num)
        return self.proposal.sample(keys[i])

    def rate(self, key: PRNGKeyArray, draws: int) -> Float[Array, ""]:
        """The acceptance rate, averaged over `draws` proposals."""
        check_at_least("draws", draws, 1)
        accept = lambda key: self.accept(draw_with_path(key, self.proposal))
        return jnp.mean(jax.vmap(accept)(particle_keys(key, draws)))

    def rate_with(
        self,
        rate: Float[Array, ""],
        draws: int,
        x: X,
        log_weight: Float[Array, ""],
    ) -> Float[Array, ""]:
        """`rate`, of `draws` proposals, joined by a point with the (held) weight
        `proposal(x) / q(x)`, as when the point came from the guide of a VAE.
        """
        weight = jnp.exp(stop(log_weight))
        return (draws * rate + weight * self.accept(x)) / (draws + 1)

    def accept(self, x: X) -> Float[Array, ""]:
        """The acceptance probability at `x`."""
        return sigmoid(-check_scalar("The energy", self.energy(x)))

    def at(self, rate: Float[Array, ""]) -> "ResampledTarget[X]":
        """The closed form, given the acceptance rate; normalised if that is exact."""
        return ResampledTarget(self, jnp.asarray(rate))


class ResampledTarget(AbstractTarget[X]):
    """`proposal(x) [a(x) (1 - (1-Z)^(T-1)) / Z + (1-Z)^(T-1)]` with `Z = rate`."""

    model: Resampled[X]
    rate: Float[Array, ""]

    @property
    def exact(self):
        return self.model.proposal.exact

    def sample(self, key: PRNGKeyArray) -> X:
        """One event, from the model."""
        return self.model.sample(key)

    def log_prob(self, key, x):
        energy = check_scalar("The energy", self.model.energy(x))
        log_ratio = log_closed_form(log_sigmoid(-energy), self.rate, self.model.num)
        return self.model.proposal.log_prob(key, x) + log_ratio


def smoothed(
    average: Float[Array, ""], current: Float[Array, ""], decay: float = 0.99
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The rate to train with, and the new moving average (which is training state).

    The former has the value of the new average and the gradient of the current rate.
    """
    new = stop(decay * average + (1 - decay) * current)
    return new + (current - stop(current)), new
