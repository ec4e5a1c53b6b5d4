"""From a decoder's output at each pixel to the pixels' law.

`family` makes the density: `Bernoulli` of logits, `DiscretizedLogistic` of a location
and a log scale, or another of the same signature.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .heads import inverse_softplus, raised_log_scale


class BernoulliHead(eqx.Module):
    """Outputs are logits, of probabilities held within `margin .. 1 - margin`."""

    family: Callable[[Array], Any] = eqx.field(static=True)
    margin: float = eqx.field(static=True, default=1e-5)

    def __call__(self, outputs: Float[Array, "*shape"]) -> Any:
        limit = math.log1p(-self.margin) - math.log(self.margin)
        return self.family(jnp.clip(outputs, -limit, limit))


class LogisticHead(eqx.Module):
    """Outputs are logits of locations on [0, 1]; all pixels share one learned scale.

    `scale = floor + softplus(raw_scale)`, in units of the whole range of a pixel.
    """

    raw_scale: Float[Array, ""]
    family: Callable[[Array, Array], Any] = eqx.field(static=True)
    floor: float = eqx.field(static=True)

    def __init__(
        self,
        family: Callable[[Array, Array], Any],
        *,
        scale: float = 0.1,
        floor: float = 1e-3,
    ):
        if not 0 <= floor < scale:
            raise ValueError(
                f"the scale starts above its floor >= 0; got {scale} and {floor}."
            )
        self.raw_scale = inverse_softplus(scale - floor)
        self.family, self.floor = family, floor

    @property
    def log_scale(self) -> Float[Array, ""]:
        return raised_log_scale(self.raw_scale, self.floor)

    def __call__(self, outputs: Float[Array, "*shape"]) -> Any:
        loc = jax.nn.sigmoid(outputs)
        return self.family(loc, jnp.broadcast_to(self.log_scale, loc.shape))
