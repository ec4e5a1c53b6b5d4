"""Networks that end in the numbers of a density; the density is attached elsewhere.

They return arrays: `(loc, log_scale)` of a diagonal normal, `logits` of Bernoullis, or
a scalar energy.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .constant import Constant
from .linear import Linear

LocLogScale = tuple[Float[Array, "..."], Float[Array, "..."]]


def clamped_log_scale(
    raw: Float[Array, "..."], floor: float = 1e-5
) -> Float[Array, "..."]:
    """`log max(floor, softplus(raw))`: the energy papers' scale."""
    return jnp.log(jnp.maximum(floor, jax.nn.softplus(raw)))


def raised_log_scale(
    raw: Float[Array, "..."], floor: float = 1e-6
) -> Float[Array, "..."]:
    """`log(softplus(raw) + floor)`: H-IWAE's scale."""
    return jnp.log(jax.nn.softplus(raw) + floor)


def inverse_softplus(scale: float) -> Float[Array, ""]:
    """The `raw` with `softplus(raw) = scale`."""
    return jnp.log(jnp.expm1(scale))


def mean_logits(mean: ArrayLike, margin: float = 1e-4) -> Float[Array, "..."]:
    """`logit(clip(mean, margin, 1 - margin))`: where Bernoulli logits start."""
    mean = jnp.clip(jnp.asarray(mean, float), margin, 1 - margin)
    return jnp.log(mean) - jnp.log1p(-mean)


def squeezed_logits(
    logits: Float[Array, "..."], margin: float = 5e-7
) -> Float[Array, "..."]:
    """The logits of `sigmoid(logits) (1 - 2 margin) + margin`, finite gradients."""
    # p / (1 - p) = ((1 - m) e^l + m) / (m e^l + (1 - m))
    inner, outer = jnp.log1p(-margin), jnp.log(margin)
    return jnp.logaddexp(logits + inner, outer) - jnp.logaddexp(logits + outer, inner)


class Encoder(eqx.Module):
    """A diagonal normal given `x - center`; `net` returns location and raw scale."""

    net: Callable
    center: Constant
    floor: float = eqx.field(static=True)

    def __init__(self, net: Callable, center: ArrayLike = 0.0, floor: float = 1e-5):
        self.net, self.center, self.floor = net, Constant(center), floor

    def __call__(self, x: Float[Array, "..."]) -> LocLogScale:
        loc, raw = jnp.split(self.net(x - self.center()), 2)
        return loc, clamped_log_scale(raw, self.floor)


class TwoHeadedEncoder(eqx.Module):
    """A diagonal normal with a linear head each for location and log scale."""

    body: Callable
    loc: Linear
    log_scale: Linear

    def __call__(self, x: Float[Array, "..."]) -> LocLogScale:
        h = self.body(x)
        return self.loc(h), self.log_scale(h)


class BernoulliDecoder(eqx.Module):
    """Logits of the given `shape`: `net(*latents)` plus a fixed `offset`."""

    net: Callable
    offset: Constant
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, net: Callable, shape: tuple[int, ...], offset: ArrayLike = 0.0):
        if jnp.broadcast_shapes(jnp.shape(offset), shape) != shape:
            raise ValueError(
                f"offset {jnp.shape(offset)} does not broadcast to the image {shape}."
            )
        self.net, self.shape, self.offset = net, shape, Constant(offset)

    def __call__(self, *latents: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.reshape(self.net(*latents), self.shape) + self.offset()


class NormalDecoder(eqx.Module):
    """A normal of the given `shape`: `net` gives the location, pixels their scales."""

    net: Callable
    raw_scale: Float[Array, "..."]
    shape: tuple[int, ...] = eqx.field(static=True)
    floor: float = eqx.field(static=True)

    def __init__(
        self,
        net: Callable,
        shape: tuple[int, ...],
        scale: float = 1.0,
        floor: float = 1e-5,
    ):
        self.net, self.shape, self.floor = net, shape, floor
        self.raw_scale = jnp.full(shape, inverse_softplus(scale))

    def __call__(self, *latents: Float[Array, "..."]) -> LocLogScale:
        loc = jnp.reshape(self.net(*latents), self.shape)
        return loc, clamped_log_scale(self.raw_scale, self.floor)


class Energy(eqx.Module):
    """A scalar energy `U(x)`; `net` sees `x - center` and returns one number."""

    net: Callable
    center: Constant

    def __init__(self, net: Callable, center: ArrayLike = 0.0):
        self.net, self.center = net, Constant(center)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        out = self.net(x - self.center())
        if out.size != 1:
            raise ValueError(
                f"an energy is one number; the network returned shape {out.shape}. "
                "Give its last layer size 1."
            )
        return jnp.reshape(out, ())


class Raised(eqx.Module):
    """An energy and a constant, trained with it."""

    energy: Callable[[Any], Float[Array, ""]]
    by: Float[Array, ""]

    def __call__(self, x: Any) -> Float[Array, ""]:
        return self.energy(x) + self.by
