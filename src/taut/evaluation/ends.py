"""Numbers of one example, and of many."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.numerics import log_mean_exp, log_sum_exp, normalised


class End(eqx.Module):
    """One end for each example: its value, Monte Carlo error and effective draws."""

    value: Float[Array, " n"]
    error: Float[Array, " n"]
    ess: Float[Array, " n"]


def weigh(log_weights: Float[Array, " k"]) -> End:
    """`log mean exp` of the weights of one example, and how far it can be trusted."""
    num = log_weights.shape[0]
    p = normalised(log_weights, log_sum_exp(log_weights))
    squares = jnp.sum(p**2)
    # Var(mean w) / (mean w)^2, the squared error of the log by the delta method.
    relative = (num * squares - 1) / max(num - 1, 1)
    error = jnp.sqrt(jnp.maximum(relative, 0.0)) if num > 1 else jnp.full((), jnp.nan)
    return End(log_mean_exp(log_weights), error, 1 / jnp.maximum(squares, 1e-38))


def example_keys(key: PRNGKeyArray, first: int, count: int) -> PRNGKeyArray:
    """Example `i` has the key `fold_in(key, i)`, in whatever block it is evaluated."""
    return jax.vmap(jr.fold_in, (None, 0))(key, first + jnp.arange(count))


def gather(blocks: list) -> Any:
    """One pytree of arrays from the blocks of it."""
    return jtu.tree_map(lambda *parts: np.concatenate(parts), *blocks)


def summary(value: Any, error: Any = None) -> dict[str, Any]:
    """A mean over examples with its two errors, which are never merged: of the Monte
    Carlo draws with the examples held, and of having drawn these examples.
    """
    n = len(value)
    out: dict[str, Any] = {"mean": float(np.mean(value)), "examples": n}
    out["se_examples"] = float(np.std(value, ddof=1) / np.sqrt(n)) if n > 1 else None
    if error is not None and np.all(np.isfinite(error)):
        out["se_monte_carlo"] = float(np.sqrt(np.sum(error**2)) / n)
    return out
