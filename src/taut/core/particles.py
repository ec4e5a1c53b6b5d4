"""A weighted set of particles, and how to make many of them."""

from collections.abc import Callable
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .checks import check_chunk, check_scalar
from .numerics import log_mean_exp, log_sum_exp, normalised

Z = TypeVar("Z")


class Particles(eqx.Module, Generic[Z]):
    """`E[mean(exp(log_weight) f(value))] = integral of f gamma`, for any `f`."""

    value: Z  # every leaf has a leading axis of size K
    log_target: Float[Array, " K"]  # the estimates of gamma that went into the weights
    log_weight: Float[Array, " K"]
    log_likelihood: Float[Array, " K"] | None = None  # what annealing leaves alone
    diagnostics: PyTree = None  # what happened on the way; leading axis K

    @property
    def log_z(self) -> Float[Array, ""]:
        """Log of the average weight."""
        return log_mean_exp(self.log_weight)

    @property
    def probs(self) -> Float[Array, " K"]:
        """Normalised weights."""
        return normalised(self.log_weight, log_sum_exp(self.log_weight))

    @property
    def ess(self) -> Float[Array, ""]:
        """Effective sample size, between 1 and K; 0 where every weight is zero."""
        squares = jnp.sum(self.probs**2)
        return jnp.where(squares > 0, 1 / jnp.where(squares > 0, squares, 1.0), 0.0)

    def select(self, key: PRNGKeyArray) -> tuple[Z, Float[Array, ""]]:
        """Draw one particle in proportion to its weight; return it and its target."""
        log_weight = eqx.error_if(
            self.log_weight,
            ~jnp.isfinite(jnp.max(self.log_weight)),  # the maximum of a NaN is NaN
            "Expected one positive weight, no NaN and no infinite one to select from. "
            "Widen the proposal so that it covers the target, and look for overflow.",
        )
        i = jr.categorical(key, log_weight)
        return jtu.tree_map(lambda v: v[i], self.value), self.log_target[i]

    def retain(
        self, i: int | Array, z: Z, log_target: Array, log_weight: Array
    ) -> "Particles[Z]":
        """These particles, with the `i`-th replaced by one that was given."""
        check_scalar("The target", log_target)
        put = lambda a, b: a.at[i].set(jnp.asarray(b).astype(a.dtype))
        return Particles(
            jtu.tree_map(put, self.value, z),
            put(self.log_target, log_target),
            put(self.log_weight, log_weight),
            diagnostics=self.diagnostics,
        )


def map_particles(fn: Callable, chunk: int | None) -> Callable:
    """`vmap`, or (for large K) a checkpointed `lax.map` over chunks: same values,
    with reverse-mode memory that grows with `chunk` rather than with K.
    """
    check_chunk("chunk", chunk)
    if chunk is None:
        return jax.vmap(fn)
    return lambda *xs: lax.map(lambda x: jax.checkpoint(fn)(*x), xs, batch_size=chunk)
