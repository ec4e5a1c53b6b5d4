"""Weight normalisation (Salimans and Kingma, 2016), plain or conditioned on a context.

Every layer here is `scale * op(x, unit(direction)) + shift`, with one `op` for dense
and one for convolutional layers; they differ only in where scale and shift come from.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .conv import Pair, convolve
from .linear import Linear
from .mlp import linear

Op = Callable[[Array, Array], Array]


def unit(direction: Float[Array, "*fan out"]) -> Float[Array, "*fan out"]:
    """Every output's weights divided by their Euclidean norm."""
    axes = tuple(range(direction.ndim - 1))
    return direction / jnp.sqrt(jnp.sum(direction**2, axes, keepdims=True))


@dataclass(frozen=True)
class Convolved:
    """The `op` of a convolution with fixed stride and padding."""

    stride: Pair
    padding: tuple[Pair, Pair]

    def __call__(self, x: Array, weight: Array) -> Array:
        return convolve(x, weight, self.stride, self.padding)


class WeightNorm(eqx.Module):
    """`op(x, scale * unit(direction)) + bias`: a scale and a bias for each output."""

    direction: Float[Array, "*fan out"]
    scale: Float[Array, " out"]
    bias: Float[Array, " out"]
    op: Op = eqx.field(static=True)

    @property
    def weight(self) -> Float[Array, "*fan out"]:
        """The weights that act."""
        return self.scale * unit(self.direction)

    def __call__(self, x: Float[Array, "*size fan"]) -> Float[Array, "*image out"]:
        return self.op(x, self.weight) + self.bias


class ContextNorm(eqx.Module):
    """`scale(c) * op(x, unit(direction)) + shift(c)`, both linear in a context `c`."""

    direction: Float[Array, "*fan out"]
    scale: Linear
    shift: Linear
    op: Op = eqx.field(static=True)

    def __call__(
        self, x: Float[Array, "*size fan"], context: Float[Array, " context"]
    ) -> Float[Array, "*image out"]:
        y = self.op(x, unit(self.direction))
        return self.scale(context) * y + self.shift(context)


def normed_linear(size: int, out: int, *, key: PRNGKeyArray) -> WeightNorm:
    """A weight-normed dense layer, begun as H-IWAE does: no data-dependent start."""
    return _normed(jnp.matmul, (size, out), key=key)


def strided(stride: int) -> Convolved:
    """One row or column of zeros on every side."""
    return Convolved((stride, stride), ((1, 1), (1, 1)))


UNSTRIDED = strided(1)


def normed_conv(
    channels: int, out: int, op: Op = UNSTRIDED, *, key: PRNGKeyArray
) -> WeightNorm:
    """A weight-normed 3x3 convolution."""
    return _normed(op, (3, 3, channels, out), key=key)


def context_linear(
    size: int, out: int, context: int, *, key: PRNGKeyArray
) -> ContextNorm:
    """A context-conditioned dense layer, begun as H-IWAE does."""
    dkey, akey, bkey = jr.split(key, 3)
    direction = 0.001 * jr.normal(dkey, (size, out))
    scale = linear(context, out, _small, key=akey)
    shift = linear(context, out, _small, key=bkey)
    return ContextNorm(direction, scale, shift, jnp.matmul)


def standardized(layer: WeightNorm, batch: Float[Array, "batch ..."]) -> WeightNorm:
    """`layer` with scale and bias set so that its outputs over `batch` are standard.

    The data-dependent start of Salimans and Kingma; none of the five papers uses it.
    """
    outputs = jax.vmap(lambda x: layer.op(x, unit(layer.direction)))(batch)
    axes = tuple(range(outputs.ndim - 1))
    mean, scale = outputs.mean(axes), 1 / outputs.std(axes)
    values = (scale, -mean * scale)
    return eqx.tree_at(lambda layer: (layer.scale, layer.bias), layer, values)


def _normed(op: Op, shape: tuple[int, ...], *, key: PRNGKeyArray) -> WeightNorm:
    # direction and bias uniform on +-1 / sqrt(fan_in), scale one
    dkey, bkey = jr.split(key)
    *fan, out = shape
    limit = math.prod(fan) ** -0.5
    direction = jr.uniform(dkey, shape, minval=-limit, maxval=limit)
    bias = jr.uniform(bkey, (out,), minval=-limit, maxval=limit)
    return WeightNorm(direction, jnp.ones(out), bias, op)


def _small(layer: Linear, *, key: PRNGKeyArray) -> Linear:
    # weights N(0, 0.001 sd); the biases stay as built
    weight = 0.001 * jr.normal(key, layer.weight.shape)
    return eqx.tree_at(lambda layer: layer.weight, layer, weight)
