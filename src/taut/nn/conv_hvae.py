"""The two-layer convolutional VAE of the energy papers (their own, not the gated one).

`z2` is the upper latent, under the prior being studied; `z1` is the lower one.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from .constant import Constant
from .conv import Conv2d, ConvTranspose2d
from .heads import (
    BernoulliDecoder,
    Encoder,
    Energy,
    LocLogScale,
    clamped_log_scale,
    mean_logits,
)
from .linear import Linear
from .mlp import MLP, Chain, glorot, identity, linear

KERNEL, STRIDE, CHANNELS = (4, 4), (2, 2), 32


class ConvFeatures(eqx.Module):
    """`x - center` through three ReLU layers (4x4, 32 channels, stride 2), flat."""

    convs: Chain
    center: Constant

    def __init__(
        self, channels: int = 1, center: ArrayLike = 0.0, *, key: PRNGKeyArray
    ):
        keys = jr.split(key, 3)
        sizes = (channels, CHANNELS, CHANNELS)
        layers = [_conv(Conv2d, c, CHANNELS, key=k) for c, k in zip(sizes, keys)]
        self.convs = Chain(tuple(layers), jax.nn.relu, jax.nn.relu)
        self.center = Constant(center)

    def __call__(
        self, x: Float[Array, "height width channels"]
    ) -> Float[Array, " features"]:
        return jnp.ravel(self.convs(x - self.center()))


class LowerEncoder(eqx.Module):
    """`q(z1 | x, z2)`: features of both, side by side, through one hidden layer."""

    features: ConvFeatures
    upper: Linear
    net: MLP

    def __init__(
        self,
        shape: tuple[int, int, int],
        latent: int = 50,
        center: ArrayLike = 0.0,
        *,
        key: PRNGKeyArray,
    ):
        ckey, ukey, nkey = jr.split(key, 3)
        size = num_features(shape)
        self.features = ConvFeatures(shape[2], center, key=ckey)
        self.upper = linear(latent, 512, key=ukey)
        self.net = MLP((size + 512, 300, 2 * latent), key=nkey)

    def __call__(
        self, x: Float[Array, "height width channels"], upper: Float[Array, " latent"]
    ) -> LocLogScale:
        both = jnp.concatenate([self.features(x), jnp.tanh(self.upper(upper))])
        loc, raw = jnp.split(self.net(both), 2)
        return loc, clamped_log_scale(raw)


class ConvUp(eqx.Module):
    """The decoder's map from `(z1, z2)` to 28x28: dense, then transposed layers."""

    lower: Linear
    upper: Linear
    dense: Linear
    convs: tuple[ConvTranspose2d, ConvTranspose2d, ConvTranspose2d]

    def __init__(self, latent: int = 50, *, key: PRNGKeyArray):
        lkey, ukey, dkey, ckey = jr.split(key, 4)
        self.lower = linear(latent, 300, key=lkey)
        self.upper = linear(latent, 300, key=ukey)
        self.dense = linear(600, 4 * 4 * CHANNELS, key=dkey)
        first, second, third = jr.split(ckey, 3)
        self.convs = (
            _conv(ConvTranspose2d, CHANNELS, CHANNELS, key=first),
            _conv(ConvTranspose2d, CHANNELS, CHANNELS, key=second),
            _conv(ConvTranspose2d, CHANNELS, 1, key=third),
        )

    def __call__(
        self, lower: Float[Array, " latent"], upper: Float[Array, " latent"]
    ) -> Float[Array, "28 28 1"]:
        both = jnp.concatenate([self.lower(lower), self.upper(upper)])
        h = jnp.tanh(self.dense(jnp.tanh(both))).reshape(4, 4, CHANNELS)
        first, second, third = self.convs
        h = jax.nn.relu(first(h))[:-1, :-1]  # 8x8, less the last row and column
        return third(jax.nn.relu(second(h)))


class ConvHVAE(NamedTuple):
    """The four networks of the two-layer model; the prior of `z2` is not among them."""

    upper_encoder: Encoder
    lower_encoder: LowerEncoder
    lower_prior: Encoder
    decoder: BernoulliDecoder


def conv_hvae(
    mean: Float[Array, "28 28 1"], latent: int = 50, *, key: PRNGKeyArray
) -> ConvHVAE:
    """EIM's ConvHVAE for binary images with this train mean (Lawson et al., 2019)."""
    if jnp.shape(mean) != (28, 28, 1):
        raise ValueError(
            f"this decoder makes 28x28x1 images; the mean has shape {jnp.shape(mean)}."
        )
    fkey, hkey, lkey, pkey, dkey = jr.split(key, 5)
    shape = (28, 28, 1)
    head = linear(num_features(shape), 2 * latent, key=hkey)
    return ConvHVAE(
        Encoder(Chain((ConvFeatures(1, mean, key=fkey), head), identity)),
        LowerEncoder(shape, latent, mean, key=lkey),
        Encoder(MLP((latent, 300, 300, 2 * latent), key=pkey)),
        BernoulliDecoder(ConvUp(latent, key=dkey), shape, mean_logits(mean)),
    )


def conv_energy(
    mean: Float[Array, "height width channels"], *, key: PRNGKeyArray
) -> Energy:
    """The ConvHVAE's convolutions, one linear output: our option beside the MLP."""
    shape = jnp.shape(mean)
    if len(shape) != 3:
        raise ValueError(
            "this energy sees images of shape (height, width, channels), as those of "
            f"the ConvHVAE; the mean has shape {shape}. Use `pixel_energy` without one."
        )
    ckey, hkey = jr.split(key)
    head = linear(num_features(shape), 1, key=hkey)
    features = ConvFeatures(shape[2], mean, key=ckey)
    return Energy(Chain((features, head), identity))


def num_features(shape: tuple[int, ...]) -> int:
    """The size of `ConvFeatures`' output: each convolution halves, rounding up."""
    return CHANNELS * math.prod(math.ceil(n / 8) for n in shape[:2])


def _conv(kind, channels: int, out: int, *, key: PRNGKeyArray):
    built, begun = jr.split(key)
    return glorot(kind(channels, out, KERNEL, stride=STRIDE, key=built), key=begun)
