"""The residual encoder `q(z | x)` of Kim et al. (2018), as used for BSVI."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import check_at_least
from .batch_norm import BatchNorm, Moments, Statistics, moments_across
from .conv import Conv2d, valid
from .linear import Linear
from .mlp import he_normal, linear

Map = Float[Array, "height width channels"]
Normal = tuple[Float[Array, " latent"], Float[Array, " latent"]]
Look = Callable[[Map], Moments]


class ResidualBlock(eqx.Module):
    """Two normalised 3x3 convolutions and a skip: 1x1 where the channels change."""

    first: Conv2d
    second: Conv2d
    norms: tuple[BatchNorm, BatchNorm]
    skip: Conv2d | None

    def __init__(self, inputs: int, channels: int, *, key: PRNGKeyArray):
        one, two, over = jr.split(key, 3)
        self.first = Conv2d(inputs, channels, (3, 3), key=one)
        self.second = Conv2d(channels, channels, (3, 3), key=two)
        self.norms = (BatchNorm(channels), BatchNorm(channels))
        differ = inputs != channels
        self.skip = Conv2d(inputs, channels, (1, 1), key=over) if differ else None

    def __call__(self, x: Map, look: Look) -> Map:
        """`look` tells the moments to normalise a map by."""
        h = self.first(x)
        h = self.second(jax.nn.relu(self.norms[0](h, look(h))))
        h = self.norms[1](h, look(h))
        return jax.nn.relu(h + (x if self.skip is None else self.skip(x)))


class ResNetEncoder(eqx.Module):
    """Location and log scale (half the log variance) of a diagonal normal.

    Every stage is a residual block and a 2x2 convolution of stride 2; then two linear
    heads. Pixels run from 0 to `unit`. `net(x, statistics)` is for one image; the
    statistics come from `on_batch` or are running ones, and `Normalised` puts them in.
    """

    blocks: tuple[ResidualBlock, ...]
    halvings: tuple[Conv2d, ...]
    loc: Linear
    log_variance: Linear
    shape: tuple[int, int, int] = eqx.field(static=True)
    unit: float = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, int, int],
        latent: int,
        *,
        channels: int = 64,
        stages: int = 3,
        unit: float = 1.0,
        key: PRNGKeyArray,
    ):
        height, width, colours = shape
        check_at_least("ResNetEncoder: stages", stages, 0)
        if min(height, width) < 2**stages:
            raise ValueError(
                f"{stages} halvings need images of at least {2**stages} pixels a side; "
                f"got {shape}. Pass fewer stages."
            )
        bkey, hkey, mkey, vkey = jr.split(key, 4)
        sizes = (colours,) + (channels,) * stages
        self.blocks = tuple(
            ResidualBlock(size, channels, key=k)
            for size, k in zip(sizes, jr.split(bkey, stages))
        )
        self.halvings = tuple(
            Conv2d(channels, channels, (2, 2), stride=(2, 2), padding=valid, key=k)
            for k in jr.split(hkey, stages)
        )
        features = sizes[-1] * (height >> stages) * (width >> stages)
        self.loc = linear(features, latent, he_normal, key=mkey)
        self.log_variance = linear(features, latent, he_normal, key=vkey)
        self.shape, self.unit = shape, unit

    def __call__(
        self, x: Float[Array, "height width colours"], statistics: Statistics
    ) -> Normal:
        known = iter(statistics)
        return self._run(x, lambda h: next(known))

    def on_batch(
        self, images: Float[Array, "batch height width colours"]
    ) -> tuple[Normal, Statistics]:
        """The whole batch under its own statistics, and these."""
        run = lambda x: self.in_batch(x, "batch")
        return jax.vmap(run, out_axes=(0, None), axis_name="batch")(images)

    def in_batch(
        self, x: Float[Array, "height width colours"], axis_name: str
    ) -> tuple[Normal, Statistics]:
        """One image under the statistics of the batch that `vmap` calls `axis_name`."""
        seen = []

        def look(h):
            seen.append(moments_across(axis_name, h))
            return seen[-1]

        return self._run(x, look), tuple(seen)

    def fresh_statistics(self) -> Statistics:
        """Where running statistics start: mean 0, variance 1."""
        norms = [norm for block in self.blocks for norm in block.norms]
        return tuple(
            Moments(jnp.zeros_like(n.scale), jnp.ones_like(n.scale)) for n in norms
        )

    def _run(self, x: Array, look: Look) -> Normal:
        if jnp.shape(x) != self.shape:
            raise ValueError(
                f"this encoder is for images of shape {self.shape} (height, width, "
                f"colours); got {jnp.shape(x)}. Batches go through vmap."
            )
        h = x.astype(self.loc.weight.dtype) / self.unit
        for block, halve in zip(self.blocks, self.halvings):
            h = halve(block(h, look))
        h = jnp.ravel(h)
        return self.loc(h), self.log_variance(h) / 2
