"""Weight-normed residual blocks, and the image encoder and decoder of H-IWAE.

The architecture of Huang et al. (2018, "Neural Autoregressive Flows"), used again in
their "Hierarchical Importance Weighted Autoencoders" (2019).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .doubling import convolve_doubled
from .heads import squeezed_logits
from .mlp import Chain
from .weight_norm import (
    UNSTRIDED,
    Op,
    WeightNorm,
    normed_conv,
    normed_linear,
    strided,
)


class Residual(eqx.Module):
    """`second(activation(first(x))) + skip(x)`, all three with learned weights."""

    first: WeightNorm
    second: WeightNorm
    skip: WeightNorm
    activation: Callable = eqx.field(static=True)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        # Two layers read x: one pass over it with the weights of both.
        join = lambda a, b: jnp.concatenate([a, b], axis=-1)
        weight = join(self.first.weight, self.skip.weight)
        both = self.first.op(x, weight) + join(self.first.bias, self.skip.bias)
        inner, skip = jnp.split(both, 2, axis=-1)
        return self.second(self.activation(inner)) + skip


def residual_linear(size: int, out: int, *, key: PRNGKeyArray) -> Residual:
    """Dense residual block, ReLU inside."""
    fkey, skey, kkey = jr.split(key, 3)
    first = normed_linear(size, out, key=fkey)
    second = normed_linear(out, out, key=skey)
    skip = normed_linear(size, out, key=kkey)
    return Residual(first, second, skip, jax.nn.relu)


def residual_conv(
    channels: int, out: int, op: Op = UNSTRIDED, *, key: PRNGKeyArray
) -> Residual:
    """Convolutional residual block, ELU inside; `op` is first and skip convolution."""
    fkey, skey, kkey = jr.split(key, 3)
    first = normed_conv(channels, out, op, key=fkey)
    second = normed_conv(out, out, key=skey)
    skip = normed_conv(channels, out, op, key=kkey)
    return Residual(first, second, skip, jax.nn.elu)


class ResidualEncoder(eqx.Module):
    """A 28x28 image to its context: five residual convolutions, one residual dense."""

    convs: Chain
    dense: Residual

    def __init__(self, context: int = 450, *, key: PRNGKeyArray):
        keys = jr.split(key, 6)
        sizes = ((1, 16, 2), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 2))
        layers = [
            residual_conv(channels, out, strided(stride), key=k)
            for (channels, out, stride), k in zip(sizes, keys)
        ]
        self.convs = Chain(tuple(layers), jax.nn.elu, jax.nn.elu)
        self.dense = residual_linear(4 * 4 * 32, context, key=keys[5])

    def __call__(self, x: Float[Array, "28 28 1"]) -> Float[Array, " context"]:
        if x.shape != (28, 28, 1):
            raise ValueError(f"this encoder reads 28x28x1 images; got {x.shape}.")
        return jax.nn.elu(self.dense(jnp.ravel(self.convs(x))))


class ResidualDecoder(eqx.Module):
    """Logits of a 28x28 image given `z`; every block begins by doubling its image."""

    dense: Chain
    blocks: tuple[Chain, Chain, Residual]

    def __init__(self, latent: int = 32, hidden: int = 450, *, key: PRNGKeyArray):
        keys = jr.split(key, 8)
        layers = (
            residual_linear(latent, hidden, key=keys[0]),
            residual_linear(hidden, 4 * 4 * 32, key=keys[1]),
        )
        self.dense = Chain(layers, jax.nn.elu, jax.nn.elu)
        double, keep = convolve_doubled, UNSTRIDED
        sizes = ((32, 32, double), (32, 32, keep), (32, 16, double), (16, 16, keep))
        convs = [residual_conv(*s, key=k) for s, k in zip(sizes, keys[2:])]
        last = residual_conv(16, 1, double, key=keys[6])
        # most pixels are dark: sigmoid(-3) = 0.05
        bias = -3 + 1e-4 * jr.normal(keys[7], (1,))
        last = eqx.tree_at(lambda block: block.skip.bias, last, bias)
        pair = lambda a, b: Chain((a, b), jax.nn.elu, jax.nn.elu)
        self.blocks = (pair(*convs[:2]), pair(*convs[2:]), last)

    def __call__(self, z: Float[Array, " latent"]) -> Float[Array, "28 28 1"]:
        first, second, last = self.blocks
        h = self.dense(z).reshape(4, 4, 32)
        h = first(h)[:-1, :-1]  # 8x8, less the last row and column
        return squeezed_logits(last(second(h)))
