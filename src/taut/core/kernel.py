"""The contract of kernels: moves along a path of densities from `q` to `gamma`.

Events are raveled into one vector before a path is walked, so kernels see vectors only.
"""

import abc
from collections.abc import Callable
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .checks import check_scalar, check_shape
from .density import AbstractDensity, AbstractExact, AbstractTarget

Z = TypeVar("Z")


class Point(eqx.Module):
    """A position with all that is known there, carried so that nothing is redone."""

    position: Float[Array, " D"]
    log_q: Float[Array, ""]
    log_gamma: Float[Array, ""]
    acceptance: Float[Array, ""]  # of the move that led here
    invalid: Int[Array, ""]  # how many points of the chain so far were NaN
    slope_q: Float[Array, " D"] | None = None
    slope_gamma: Float[Array, " D"] | None = None


class Path(eqx.Module, Generic[Z]):
    """`f_t = q^(1 - beta_t) gamma^beta_t`, for t = 0 .. T-1, over raveled events."""

    q: AbstractDensity[Z]
    gamma: AbstractTarget[Z]
    key: PRNGKeyArray  # one key: one function of the event
    betas: Float[Array, " T"]
    unravel: Callable[[Array], Z] = eqx.field(static=True)

    def __init__(self, q, gamma, key, betas):
        zeros = lambda leaf: jnp.zeros(leaf.shape, leaf.dtype)
        flat, self.unravel = ravel_pytree(jtu.tree_map(zeros, _event(q)))
        self.q, self.gamma, self.key = q, gamma, key
        self.betas = betas.astype(flat.dtype)

    def ravel(self, z: Z) -> Float[Array, " D"]:
        """One vector from an event shaped like those of `q`."""
        check = lambda like, leaf: check_shape("The proposal", like.shape, leaf)
        jtu.tree_map(check, _event(self.q), z)
        return ravel_pytree(z)[0].astype(self.betas.dtype)

    def log_q(self, position: Array) -> Float[Array, ""]:
        return self.q.log_prob(self.key, self.unravel(position))

    def log_gamma(self, position: Array) -> Float[Array, ""]:
        value = self.gamma.log_prob(self.key, self.unravel(position))
        return check_scalar(f"{type(self.gamma).__name__}.log_prob", value)

    def at(self, t: int | Int[Array, ""], q: Array, gamma: Array) -> Array:
        """Mix what belongs to `q` (a log density, a slope) with what is `gamma`'s."""
        beta = self.betas[t]
        # `where`: infinity times zero is zero here.
        q = jnp.where(beta < 1, (1 - beta) * q, 0.0)
        return q + jnp.where(beta > 0, beta * gamma, 0.0)

    def value(self, position: Array) -> Point:
        """Both log densities."""
        return self._point(position, self.log_q(position), self.log_gamma(position))

    def value_and_slope(self, position: Array) -> Point:
        """Both log densities and both gradients."""
        log_q, slope_q = jax.value_and_grad(self.log_q)(position)
        log_gamma, slope_gamma = jax.value_and_grad(self.log_gamma)(position)
        return self._point(position, log_q, log_gamma, slope_q, slope_gamma)

    def _point(self, position, log_q, log_gamma, slope_q=None, slope_gamma=None):
        one = jnp.ones((), position.dtype)
        log_q, log_gamma = log_q.astype(one.dtype), log_gamma.astype(one.dtype)
        invalid = (jnp.isnan(log_q) | jnp.isnan(log_gamma)).astype(jnp.int32)
        return Point(position, log_q, log_gamma, one, invalid, slope_q, slope_gamma)

    def slope(self, t: int | Int[Array, ""], position: Array) -> Float[Array, " D"]:
        """The gradient of `log f_t` alone."""
        q, gamma = jax.grad(self.log_q)(position), jax.grad(self.log_gamma)(position)
        return self.at(t, q, gamma)


def _event(q: AbstractDensity[Z]) -> Z:
    """Shapes and types of the events of `q`, which kernels must be able to move."""
    if not q.exact:
        raise TypeError(
            "A path starts from a proposal whose density is known; that of this "
            f"{type(q).__name__} is estimated. Use a tractable one, or `Importance`."
        )
    event = eqx.filter_eval_shape(q.sample, jr.key(0))
    is_exact = lambda node: isinstance(node, AbstractExact)
    parts = filter(is_exact, jtu.tree_leaves(q, is_leaf=is_exact))
    real = all(jnp.issubdtype(a.dtype, jnp.floating) for a in jtu.tree_leaves(event))
    if not real or any(part.discrete for part in parts):
        raise TypeError(
            f"Kernels move continuous events; those of {type(q).__name__} are "
            "discrete. Sum the discrete latents out, or use `Importance`."
        )
    return event


class AbstractKernel(eqx.Module):
    """A move `M` aimed at the densities of a path, and a reversal `L` of it.

    Both directions return, next to the new point, the same ratio of the step from
    `before` to `after`: `log [f_t(after) L(before | after)] - log [f_t(before)
    M(after | before)]`; zero for a move that leaves `f_t` invariant, reversed exactly.
    """

    reparameterised: eqx.AbstractVar[bool]  # do gradients flow through a move?

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
