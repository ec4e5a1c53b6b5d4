"""Gradients through discrete proposals: bias and variance of four estimators."""

from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...core.gradient import stop
from ...densities.discrete import Bernoulli
from ...densities.negatives import (
    Negatives,
    by_path,
    leave_one_out,
    linearised,
    relaxed,
)
from ...densities.self_normalized import SelfNormalized
from ...nn.heads import Energy
from ...nn.mlp import MLP
from ...rundir import write_json
from .pictures import loglog

BEST = "linear control variate (ours)"
ESTIMATORS: dict[str, Negatives] = {
    "stopped (as published)": by_path,
    "straight-through Gumbel": relaxed,
    "VIMCO": leave_one_out,
    BEST: linearised,
}
BIASED = ("stopped (as published)", "straight-through Gumbel")
KS = (4, 16, 64, 256)
COINS = 64  # a proposal of 8x8 black and white pixels
DRAWS = {"quick": 2000, "medium": 50_000}


def problem(num_coins: int = COINS) -> tuple[Bernoulli, Energy, Float[Array, " n"]]:
    """Coins of all biases, an energy network as in the papers, and a point."""
    lkey, ekey, xkey = jr.split(jr.key(0), 3)
    coins = Bernoulli(jr.normal(lkey, (num_coins,)))
    energy = Energy(MLP((num_coins, 100, 100, 1), key=ekey), 0.5)
    return coins, energy, coins.draw(xkey)


def gradient(
    negatives: Negatives,
    num: int,
    parts: tuple[Bernoulli, Callable, Array],
    key: PRNGKeyArray,
) -> Float[Array, " n"]:
    """Of the bound, with respect to the proposal's logits, through the fresh points
    alone: `log pi(x)` is the same for all estimators.
    """
    coins, energy, x = parts

    def ratio(logits):
        model = SelfNormalized(Bernoulli(logits), energy, num, negatives)
        return model.log_ratio(key, stop(x))

    return jax.grad(ratio)(coins.logits)


@eqx.filter_jit
def moments(
    negatives: Negatives, num: int, parts: tuple, keys: PRNGKeyArray
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Mean and variance of each element."""
    one = lambda key: gradient(negatives, num, parts, key)
    found = jax.lax.map(one, keys, batch_size=100)
    return jnp.mean(found, axis=0), jnp.var(found, axis=0)


def draw(folder: Path, budget: str) -> None:
    """The figure, and its numbers: sums over the logits."""
    draws = DRAWS.get(budget, DRAWS["medium"])
    parts, keys = problem(), jr.split(jr.key(1), draws)
    rows = {}
    for num in KS:
        means, variances = {}, {}
        for name, negatives in ESTIMATORS.items():
            means[name], variances[name] = moments(negatives, num, parts, keys)
        # Unbiased, and the least noisy: what the others are held against.
        best = means[BEST]
        noise = variances[BEST] / draws
        for name in ESTIMATORS:
            away = jnp.sum((means[name] - best) ** 2 - variances[name] / draws - noise)
            rows.setdefault(name, []).append(
                {
                    "K": num,
                    "variance": float(jnp.sum(variances[name])),
                    "squared_bias": float(jnp.maximum(away, 0.0)),
                    "squared_gradient": float(jnp.sum(best**2) - jnp.sum(noise)),
                }
            )
    name = "energy-inspired-gradients"
    write_json(
        folder / f"{name}.json",
        {"budget": budget, "draws": draws, "coins": COINS, "estimators": rows},
    )
    spread = lambda row: row["variance"] or np.nan  # zero is not on the axis
    error = lambda row: row["variance"] + row["squared_bias"]
    lines = {f"{name}: variance": (KS, [*map(spread, rows[name])]) for name in rows}
    lines |= {f"{name}: total": (KS, [*map(error, rows[name])]) for name in BIASED}
    text = loglog(lines, xlabel="K", ylabel="summed over 64 logits")
    (folder / f"{name}.svg").write_text(text)
