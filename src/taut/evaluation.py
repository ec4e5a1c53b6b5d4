"""Both ends of a trained model's log-likelihood, example by example.

The key of example `i` is `fold_in(key, i)`: results depend neither on blocks nor on
chunks, and a run that stopped goes on where it was.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .core.checks import check_at_least, particle_keys, split
from .core.combine import Averaged
from .core.density import AbstractDensity, AbstractTarget
from .core.numerics import log_mean_exp, log_sum_exp, normalised
from .core.particles import map_particles

X = TypeVar("X")
Model = TypeVar("Model")


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


def lower_end(
    key: PRNGKeyArray,
    target: Callable[[Model, PRNGKeyArray], AbstractTarget],
    model: Model,
    examples: np.ndarray,
    num: int,
    *,
    chunk: int | None = None,
    block: int = 100,
    start: int = 0,
) -> Iterator[End]:
    """`log p(x)` from below with `num` scores each, in blocks from example `start`.

    `target(model, key)` may share draws among the scores of one example (`Frozen`).
    """
    check_at_least("num", num, 1)

    @eqx.filter_jit
    def ends(model, keys, xs):
        def one(key, x):
            tkey, skey = split(key)
            aimed = target(model, tkey)
            score = lambda key: aimed.log_prob(key, x)
            return weigh(map_particles(score, chunk)(particle_keys(skey, num)))

        return jax.lax.map(lambda kx: one(*kx), (keys, xs))

    for first in range(start, len(examples), block):
        xs = jnp.asarray(examples[first : first + block])
        keys = jax.vmap(jr.fold_in, (None, 0))(key, first + jnp.arange(len(xs)))
        yield ends(model, keys, xs)


def both_ends(
    key: PRNGKeyArray,
    density: AbstractDensity[X],
    num_examples: int,
    num: int,
    *,
    chunk: int | None = None,
    block: int = 10,
) -> Iterator[tuple[X, Float[Array, " n"], Float[Array, " n"]]]:
    """Examples simulated from the model, with `log p(x)` from below and from above.

    Simulated together with its latents, each example's upper end is certified.
    """
    check_at_least("num", num, 1)
    averaged = Averaged(density, num, chunk)

    @eqx.filter_jit
    def ends(averaged, keys):
        def one(key):
            skey, lkey = split(key)
            x, upper = averaged.sample_and_log_prob(skey)
            return x, averaged.log_prob(lkey, x), upper

        return jax.lax.map(one, keys)

    for first in range(0, num_examples, block):
        size = min(block, num_examples - first)
        yield ends(
            averaged,
            jax.vmap(jr.fold_in, (None, 0))(key, first + jnp.arange(size)),
        )


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
