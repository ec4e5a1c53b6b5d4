"""The gated PixelCNN decoder `p(x | z)` of Kim et al. (2018), as used for BSVI."""

import itertools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .conv import Conv2d
from .gated_layer import GatedLayer
from .linear import Linear
from .mlp import he_normal, linear

KERNELS = (9, 9, 9, 7, 7, 7, 5, 5, 5, 3, 3, 3)


class PixelCNN(eqx.Module):
    """Twelve gated layers: outputs at a pixel depend on `z` and on earlier pixels only.

    Pixels are in raster order and the channels of one pixel are independent given what
    came before. `z` becomes maps that join the image before the first layer, which
    hides them where it hides pixels: the first pixel sees no `z`. With `rise_always`
    the vertical map moves down a row in every layer, as published, which leaves a few
    past pixels to the upper right unseen; without, in the first only: all are seen.

    Pixels run from 0 to `unit`. Layers of equal kernels are one body, scanned over
    stacked parameters.
    """

    spread: Linear
    first: GatedLayer
    groups: tuple[GatedLayer, ...]
    last: Conv2d
    shape: tuple[int, int, int] = eqx.field(static=True)
    latent: int = eqx.field(static=True)
    unit: float = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, int, int],
        latent: int,
        *,
        kernels: Sequence[int] = KERNELS,
        channels: int = 32,
        maps: int = 4,
        rise_always: bool = True,
        unit: float = 1.0,
        key: PRNGKeyArray,
    ):
        _check(shape, latent, kernels)
        height, width, colours = shape
        zkey, fkey, gkey, lkey = jr.split(key, 4)
        self.spread = linear(latent, maps * height * width, he_normal, key=zkey)
        self.first = GatedLayer(
            colours + maps, channels, kernels[0] // 2, rise=1, hides=1, key=fkey
        )
        runs = [(k, len(list(run))) for k, run in itertools.groupby(kernels[1:])]
        rise = 1 if rise_always else 0

        def group(kernel: int, num: int, key: PRNGKeyArray) -> GatedLayer:
            layers = [
                GatedLayer(channels, channels, kernel // 2, rise=rise, hides=0, key=k)
                for k in jr.split(key, num)
            ]
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)

        keys = jr.split(gkey, max(len(runs), 1))
        self.groups = tuple(group(*run, key) for run, key in zip(runs, keys))
        self.last = Conv2d(channels, colours, (1, 1), key=lkey)
        self.shape, self.latent, self.unit = shape, latent, unit

    def __call__(
        self, x: Float[Array, "height width colours"], z: Float[Array, " latent"]
    ) -> Float[Array, "height width colours"]:
        """What the law of every pixel is made from: logits, or the logits of means."""
        if jnp.shape(x) != self.shape:
            raise ValueError(
                f"this PixelCNN is for images of shape {self.shape} (height, width, "
                f"colours); got {jnp.shape(x)}. Batches go through vmap."
            )
        below = self.entry(x, z)
        maps = self.first(below, below)
        for group in self.groups:
            maps, _ = jax.lax.scan(_apply, maps, group)
        return self.last(maps[1])

    def entry(self, x: Array, z: Array) -> Float[Array, "height width entries"]:
        """What both maps of the first layer see: the image beside the maps of `z`."""
        if jnp.shape(z) != (self.latent,):
            raise ValueError(
                f"this PixelCNN is for z of shape {(self.latent,)}; got {jnp.shape(z)}."
            )
        maps = self.spread(z).reshape(-1, *self.shape[:2])
        image = x.astype(maps.dtype) / self.unit
        return jnp.concatenate([image, jnp.moveaxis(maps, 0, -1)], -1)

    @property
    def layers(self) -> list[GatedLayer]:
        """All layers in order, one by one."""
        layers = [self.first]
        for group in self.groups:
            num = group.out.weight.shape[0]
            layers += [jax.tree.map(lambda x, i=i: x[i], group) for i in range(num)]
        return layers


def _apply(maps, layer: Callable):
    return layer(*maps), None


def _check(shape, latent, kernels) -> None:
    if len(shape) != 3 or min(shape) < 1 or latent < 1:
        raise ValueError(
            "a PixelCNN needs images (height, width, colours) and at least one latent; "
            f"got shape {shape} and {latent} latents."
        )
    if not kernels or any(k < 1 or k % 2 == 0 for k in kernels):
        raise ValueError(f"kernels are odd and at least one; got {tuple(kernels)}.")
