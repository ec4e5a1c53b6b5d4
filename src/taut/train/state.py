"""All that training carries from one step to the next, and what is saved of it."""

from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree


class Best(eqx.Module):
    """The parameters with the highest validation score so far."""

    score: Float[Array, ""]
    step: Int[Array, ""]
    params: PyTree
    state: PyTree


class TrainState(eqx.Module):
    """A checkpoint holds exactly this; `step` updates have been made.

    `sums` are the metrics added up over the last `count` steps. `bad` counts
    non-finite numbers of the update that was refused: the rest is as before it.
    """

    params: PyTree
    optimisers: tuple[PyTree, ...]
    state: PyTree
    polyak: PyTree
    best: Best | None
    key: PRNGKeyArray
    step: Int[Array, ""]
    sums: dict[str, Array]
    count: Int[Array, ""]
    bad: Int[Array, ""]


class Store(Protocol):
    """Where `fit` keeps its checkpoints (`taut.checkpoint.Checkpoints`)."""

    def save(self, step: int, tree: PyTree, score: float | None) -> None: ...

    def restore(self, like: PyTree) -> PyTree | None: ...

    def describe(self) -> str: ...


def averaged(train_state: TrainState, decay: float | None) -> Any:
    """The parameters to evaluate: the bias-corrected Polyak average
    `(1 - d) sum_s d^(t - s) p_s / (1 - d^t)`, or the last ones without averaging."""
    if decay is None or int(train_state.polyak.count) == 0:
        return train_state.params
    weight = -np.expm1(int(train_state.polyak.count) * np.log(decay))
    mean = jax.tree.map(lambda a: (a / weight).astype(a.dtype), train_state.polyak.ema)
    return eqx.combine(mean, train_state.params)


def polyak_average(decay: float | None) -> optax.GradientTransformation:
    """The running average of the parameters; correction is left to `averaged`."""
    if decay is None:
        return optax.identity()
    if not 0.0 < decay < 1.0:
        raise ValueError(f"polyak is a decay between 0 and 1, got {decay}.")
    return optax.ema(decay, debias=False)


def owned(tree: PyTree) -> PyTree:
    """`tree` with arrays of its own, strongly typed, so that they can be donated."""

    def copy(leaf):
        if isinstance(leaf, np.ndarray | np.generic):
            leaf = jnp.asarray(leaf)
        return jnp.array(leaf, leaf.dtype, copy=True) if eqx.is_array(leaf) else leaf

    return jax.tree.map(copy, tree)
