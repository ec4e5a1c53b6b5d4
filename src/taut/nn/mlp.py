"""Layers in a row, and the plain multilayer perceptron of all five papers."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .conv import Conv2d, ConvTranspose2d
from .linear import Linear

Layer = TypeVar("Layer", Linear, Conv2d, ConvTranspose2d)
Start = Callable[..., Layer]


def glorot(layer: Layer, *, key: PRNGKeyArray) -> Layer:
    """`layer` with weights uniform on `+-sqrt(6 / (fan_in + fan_out))`, zero biases.

    The last two axes of the weights are the fans, in either order. (Glorot and Bengio,
    2010; the energy papers, and Burda et al.)
    """
    weight = jax.nn.initializers.glorot_uniform()(key, layer.weight.shape, float)
    layer = eqx.tree_at(lambda layer: layer.weight, layer, weight)
    if layer.bias is None:
        return layer
    return eqx.tree_at(lambda layer: layer.bias, layer, jnp.zeros_like(layer.bias))


def he_normal(layer: Layer, *, key: PRNGKeyArray) -> Layer:
    """`layer` with weights normal, variance `2 / fan_in`, biases as built.

    (He et al., 2015; the dense layers of Kim et al., 2018.) For dense layers.
    """
    weight = jr.normal(key, layer.weight.shape) * (2 / layer.weight.shape[1]) ** 0.5
    return eqx.tree_at(lambda layer: layer.weight, layer, weight)


def as_built(layer: Layer, *, key: PRNGKeyArray) -> Layer:
    """`layer` as it is: Equinox begins uniform on `+-1 / sqrt(fan_in)`, biases too."""
    return layer


def identity(x: Array) -> Array:
    return x


class Chain(eqx.Module):
    """Layers in a row with one activation between them, and `final` after the last."""

    layers: tuple[Callable, ...]
    activation: Callable = eqx.field(static=True)
    final: Callable = eqx.field(static=True, default=identity)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.final(self.layers[-1](x))


class MLP(eqx.Module):
    """Dense layers of the given `sizes`; `x` is flattened, the last layer is linear."""

    chain: Chain

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable = jnp.tanh,
        start: Start = glorot,
        final: Callable = identity,
        *,
        key: PRNGKeyArray,
    ):
        if len(sizes) < 2:
            raise ValueError(
                f"an MLP needs the sizes of input and output; got {tuple(sizes)}."
            )
        pairs = list(zip(sizes[:-1], sizes[1:]))
        keys = jr.split(key, len(pairs))
        layers = [linear(*pair, start, key=k) for pair, k in zip(pairs, keys)]
        self.chain = Chain(tuple(layers), activation, final)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, " out"]:
        return self.chain(jnp.ravel(x))


def linear(size: int, out: int, start: Start = glorot, *, key: PRNGKeyArray) -> Linear:
    """A dense layer whose weights begin as `start` says."""
    if size < 1 or out < 1:
        raise ValueError(f"a dense layer needs positive sizes; got {size} to {out}.")
    built, begun = jr.split(key)
    return start(Linear(size, out, key=built), key=begun)
