"""Numbers of one example, and of many."""

from collections.abc import Callable
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


def over_examples(function: Callable) -> Callable:
    """`vmap` over examples; under a mesh (`jax.set_mesh`) with an axis `data` they are
    spread over it, where their number divides.
    """
    devices = dict(jax.sharding.get_abstract_mesh().shape).get("data", 1)

    def batched(*args):
        if devices == 1 or len(args[0]) % devices:
            return jax.vmap(function)(*args)
        spread = jax.sharding.PartitionSpec("data")
        args = jax.lax.with_sharding_constraint(args, spread)
        return jax.vmap(function, spmd_axis_name="data")(*args)

    return batched


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


def lowered(verdict: str, invalid: int) -> str:
    """A verdict on chains of which `invalid` met a NaN, and so have no weight."""
    if not invalid:
        return verdict
    return f"do not trust: {invalid} chains met a NaN, and their weight is zero"
