"""The contract of kernels: moves along a path of densities from `q` to `gamma`.

Events are raveled into one vector before a path is walked, so kernels see vectors only.
"""

import abc
from collections.abc import Callable
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .density import AbstractExact, AbstractTarget

Z = TypeVar("Z")


class Point(eqx.Module):
    """A position with all that is known there, carried so that nothing is redone."""

    position: Float[Array, " D"]
    log_q: Float[Array, ""]
    log_gamma: Float[Array, ""]
    slope_q: Float[Array, " D"] | None = None
    slope_gamma: Float[Array, " D"] | None = None
    acceptance: Float[Array, ""] | float = 1.0  # probability with which it was reached


class Path(eqx.Module, Generic[Z]):
    """`f_t = q^(1 - beta_t) gamma^beta_t`, for t = 0 .. T-1, over raveled events."""

    q: AbstractExact[Z]
    gamma: AbstractTarget[Z]
    key: PRNGKeyArray  # one key: one function of the event
    betas: Float[Array, " T"]
    unravel: Callable[[Array], Z] = eqx.field(static=True)

    def log_q(self, position: Array) -> Float[Array, ""]:
        return self.q.log_prob(self.key, self.unravel(position))

    def log_gamma(self, position: Array) -> Float[Array, ""]:
        return self.gamma.log_prob(self.key, self.unravel(position))

    def at(self, t: int | Int[Array, ""], q: Array, gamma: Array) -> Array:
        """Mix what belongs to `q` (a log density, a slope) with what is `gamma`'s."""
        beta = self.betas[t]
        # `where`: infinity times zero is zero here.
        q = jnp.where(beta < 1, (1 - beta) * q, 0.0)
        return q + jnp.where(beta > 0, beta * gamma, 0.0)

    def value(self, position: Array) -> Point:
        """Both log densities."""
        return Point(position, self.log_q(position), self.log_gamma(position))

    def value_and_slope(self, position: Array) -> Point:
        """Both log densities and both gradients."""
        log_q, slope_q = jax.value_and_grad(self.log_q)(position)
        log_gamma, slope_gamma = jax.value_and_grad(self.log_gamma)(position)
        return Point(position, log_q, log_gamma, slope_q, slope_gamma)

    def slope(self, t: int | Int[Array, ""], position: Array) -> Float[Array, " D"]:
        """The gradient of `log f_t` alone."""
        q, gamma = jax.grad(self.log_q)(position), jax.grad(self.log_gamma)(position)
        return self.at(t, q, gamma)


class AbstractKernel(eqx.Module):
    """A move `M` aimed at the densities of a path, and a reversal `L` of it.

    Both directions return, next to the new point, the same ratio of the step from
    `before` to `after`: `log [f_t(after) L(before | after)] - log [f_t(before)
    M(after | before)]`; zero for a move that leaves `f_t` invariant, reversed exactly.
    """

    @abc.abstractmethod
    def init(self, path: Path, position: Float[Array, " D"]) -> Point:
        """All that the first move needs to know."""

    @abc.abstractmethod
    def forward(
        self, key: PRNGKeyArray, path: Path, t: Int[Array, ""], state: Point
    ) -> tuple[Point, Float[Array, ""]]:
        """Draw `after` given `before`."""

    @abc.abstractmethod
    def backward(
        self, key: PRNGKeyArray, path: Path, t: Int[Array, ""], state: Point
    ) -> tuple[Point, Float[Array, ""]]:
        """Draw `before` given `after`."""
