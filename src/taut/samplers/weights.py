"""Weights `pi_j` of K unlike proposals: they add up to one at every point."""

import abc
from collections.abc import Callable
from typing import ClassVar, Protocol, TypeVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..core.numerics import log_sum_exp
from ..core.particles import Particles

Z = TypeVar("Z")
LARGEST = float(jnp.finfo(jnp.float32).max)


class HasExact(Protocol):
    """A density, or several."""

    @property
    def exact(self) -> bool: ...


class AbstractWeights(eqx.Module):
    """`log pi_j`, for all j, at a point (a latent, and its root where there is one)."""

    constant: eqx.AbstractVar[bool]  # the same at every point?

    @abc.abstractmethod
    def __call__(
        self, num: int, log_densities: Float[Array, " K"] | None, *point: PyTree
    ) -> Float[Array, " K"]:
        """`log_densities` are the proposals' at the point; `None` if constant."""


class EqualWeights(AbstractWeights):
    """`pi_j = 1/K`."""

    constant: ClassVar[bool] = True

    def __call__(self, num, log_densities, *point):
        return jnp.full(num, -jnp.log(float(num)))


class FixedWeights(AbstractWeights):
    """Numbers that add up to one; with `(0, .., 0, 1)` the last proposal alone."""

    probs: tuple[float, ...] = eqx.field(
        static=True, converter=lambda probs: tuple(map(float, probs))
    )
    constant: ClassVar[bool] = True

    def __check_init__(self):
        total = sum(self.probs)
        if not (min(self.probs, default=-1.0) >= 0 and abs(total - 1) <= 1e-6):
            raise ValueError(
                "FixedWeights: expected numbers of at least 0 that add up to 1; got "
                f"{self.probs}, which add up to {total}. Divide them by their sum."
            )

    def __call__(self, num, log_densities, *point):
        probs = jnp.asarray(self.probs)
        return jnp.where(probs > 0, jnp.log(jnp.where(probs > 0, probs, 1.0)), -jnp.inf)


class SoftmaxWeights(AbstractWeights):
    """Learned, the same everywhere: `pi = softmax(logits)`."""

    logits: Float[Array, " K"]
    constant: ClassVar[bool] = True

    def __call__(self, num, log_densities, *point):
        return jax.nn.log_softmax(self.logits)


class PowerWeights(AbstractWeights):
    """The power heuristic `pi_j = q_j^a / sum_i q_i^a` (Veach & Guibas, 1995).

    Exponent 0 gives equal weights, 1 (the balance heuristic) a mixture proposal.
    """

    exponent: float = eqx.field(static=True)

    def __init__(self, exponent: float):
        if not 0 <= exponent <= LARGEST:
            raise ValueError(
                "PowerWeights: expected a finite exponent of at least 0; got "
                f"{exponent}. Zero weighs equally, one by the densities."
            )
        self.exponent = exponent

    @property
    def constant(self):
        return self.exponent == 0

    def __call__(self, num, log_densities, *point):
        if log_densities is None:
            return EqualWeights()(num, None)
        # From the largest on, so that no product but with the others can overflow.
        largest = lax.stop_gradient(jnp.max(log_densities))
        return jax.nn.log_softmax(self.exponent * (log_densities - largest))


class NetworkWeights(AbstractWeights):
    """Learned, point by point: `pi(point) = softmax(net(*point))`."""

    net: Callable[..., Float[Array, " K"]]
    constant: ClassVar[bool] = False

    def __call__(self, num, log_densities, *point):
        return jax.nn.log_softmax(self.net(*point))


class GivenWeights(AbstractWeights):
    """`log pi = fn(*point)`, checked as it runs: the sum must be one at every point."""

    fn: Callable[..., Float[Array, " K"]]
    constant: ClassVar[bool] = False

    def __call__(self, num, log_densities, *point):
        log_pi = self.fn(*point)
        return eqx.error_if(
            log_pi,
            ~(jnp.abs(log_sum_exp(log_pi)) < 1e-4),
            "GivenWeights: expected logs of weights that add up to one at every point; "
            "got others. Subtract their `logsumexp`, or use `NetworkWeights`.",
        )


def log_weights_at(
    weights: AbstractWeights,
    num: int,
    log_densities: Callable[[], Float[Array, " K"]],
    *point: PyTree,
) -> Float[Array, " K"]:
    """`log pi_j + log K`: what the mean of `num` weights needs for their weighted sum.

    The proposals' densities are asked for only where the weights depend on the point.
    """
    log_pi = weights(num, None if weights.constant else log_densities(), *point)
    if jnp.shape(log_pi) != (num,):
        raise ValueError(
            f"{type(weights).__name__}: expected {num} weights, one for each proposal; "
            f"got an array of shape {jnp.shape(log_pi)}."
        )
    return log_pi + jnp.log(float(num))


def constant_weights(weights: AbstractWeights, num: int, name: str) -> None:
    """Refuse weights that would depend on the draws they weigh."""
    if not weights.constant:
        raise TypeError(
            f"{name}: expected weights that are the same at every point, as the draws "
            f"depend on each other; got {type(weights).__name__}. Use `EqualWeights`, "
            "`FixedWeights` or `SoftmaxWeights`."
        )
    eqx.filter_eval_shape(log_weights_at, weights, num, lambda: None)


def exact_for_weights(proposals: HasExact, weights: AbstractWeights, name: str) -> None:
    """Only a density that is known can enter another proposal's weight."""
    if not (proposals.exact or weights.constant):
        raise TypeError(
            f"{name}: {type(weights).__name__} differ from point to point, which needs "
            "proposals of known density; these are only estimated. Use constant "
            "weights (`EqualWeights`, `FixedWeights`, `SoftmaxWeights`)."
        )


def scaled(log_pi: Float[Array, "*K"], log_weight: Float[Array, "*K"]) -> Array:
    """`pi_j w_j`: zero where `pi_j` is, whatever `w_j` (infinite, or no number)."""
    log_pi = log_pi.astype(log_weight.dtype)
    return jnp.where(jnp.isneginf(log_pi), -jnp.inf, log_pi + log_weight)


def weighed(particles: Particles[Z], weights: AbstractWeights) -> Particles[Z]:
    """Particles of constant weights `pi`: zero where `pi` is, whatever their own."""
    num = particles.log_weight.shape[0]
    log_pi = weights(num, None) + jnp.log(float(num))
    log_weight = scaled(log_pi, particles.log_weight)
    return eqx.tree_at(lambda p: p.log_weight, particles, log_weight)
