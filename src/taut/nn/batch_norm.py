"""Batch normalisation with its statistics outside the network.

The statistics of a batch are a value like any other: a network is unbatched, and takes
them as an argument. In training they are those of the batch (gradients flow), in
evaluation running ones, which belong to the state of training, never to its parameters.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Moments(NamedTuple):
    """Mean and (biased) variance per channel, over a batch and its pixels."""

    mean: Float[Array, " channels"]
    variance: Float[Array, " channels"]


Statistics = tuple[Moments, ...]


class BatchNorm(eqx.Module):
    """`scale (x - mean) / sqrt(variance + 1e-5) + offset`, channel by channel."""

    scale: Float[Array, " channels"]
    offset: Float[Array, " channels"]

    def __init__(self, channels: int):
        self.scale, self.offset = jnp.ones(channels), jnp.zeros(channels)

    def __call__(
        self, x: Float[Array, "height width channels"], moments: Moments
    ) -> Float[Array, "height width channels"]:
        factor = self.scale * jax.lax.rsqrt(moments.variance + 1e-5)
        return (x - moments.mean) * factor + self.offset


class Normalised(eqx.Module):
    """A network with its statistics put in: a function of one example."""

    net: Callable
    statistics: Statistics

    def __call__(self, x: Array) -> Any:
        return self.net(x, self.statistics)


def moments_across(axis: str, x: Float[Array, "height width channels"]) -> Moments:
    """The moments of `x` over its pixels and the batch that `vmap` calls `axis`."""
    mean = jax.lax.pmean(jnp.mean(x, (0, 1)), axis)
    return Moments(mean, jax.lax.pmean(jnp.mean((x - mean) ** 2, (0, 1)), axis))


def moved(running: Statistics, batch: Statistics, momentum: float = 0.1) -> Statistics:
    """Running statistics after a batch; no gradient passes."""
    move = lambda old, new: old + momentum * (new - old)
    return jax.lax.stop_gradient(jax.tree.map(move, running, batch))
