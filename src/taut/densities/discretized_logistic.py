"""Pixels with 256 levels."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from ..core.checks import check_at_least, check_shape
from ..core.density import AbstractExact


class DiscretizedLogistic(AbstractExact[Array]):
    """`floor(levels y)` of a logistic `y`, held within `0 .. levels - 1`, as floats.

    `P(v) = F((v + 1) / levels) - F(v / levels)`; the first and the last level take the
    tails. `loc` and `exp(log_scale)` belong to `y`, so that images live on [0, 1];
    scales are held within `e^-30 .. e^30`.
    """

    loc: Float[Array, "*shape"]
    log_scale: Float[Array, "*shape"]
    shape: tuple[int, ...] = eqx.field(static=True)
    levels: int = eqx.field(static=True)
    reparameterised: ClassVar[bool] = False
    discrete: ClassVar[bool] = True

    def __init__(
        self,
        loc: Float[Array, "*shape"],
        log_scale: Float[Array, "*shape"],
        *,
        levels: int = 256,
    ):
        check_at_least("DiscretizedLogistic: levels", levels, 2)
        self.loc, self.log_scale = jnp.asarray(loc), jnp.asarray(log_scale)
        self.shape, self.levels = self.loc.shape, levels
        check_shape("DiscretizedLogistic", self.shape, self.log_scale)

    def draw(self, key):
        check_shape("DiscretizedLogistic", self.shape, self.loc, self.log_scale)
        noise = jr.logistic(key, self.shape, self.loc.dtype)
        y = self.loc + jnp.exp(self._log_scale) * noise
        return jnp.clip(jnp.floor(self.levels * y), 0, self.levels - 1)

    def log_density(self, x):
        check_shape("DiscretizedLogistic", self.shape, self.loc, self.log_scale, x)
        x = jnp.asarray(x, self.loc.dtype)  # bytes count to 255: `x + 1` would be 0
        inverse = jnp.exp(-self._log_scale)
        low = (x / self.levels - self.loc) * inverse
        high = ((x + 1) / self.levels - self.loc) * inverse
        below, above = jax.nn.log_sigmoid(high), jax.nn.log_sigmoid(-low)
        # F(b) - F(a) = F(b) F(-a) (1 - e^(a - b)), and b - a is known exactly.
        middle = below + above + _log_one_minus_exp(inverse / self.levels)
        log_probs = jnp.where(x == self.levels - 1, above, middle)
        log_probs = jnp.where(x == 0, below, log_probs)
        level = (x >= 0) & (x < self.levels) & (x == jnp.floor(x))
        return jnp.sum(jnp.where(level, log_probs, -jnp.inf))

    @property
    def _log_scale(self):
        return jnp.clip(self.log_scale, -30.0, 30.0)


def _log_one_minus_exp(y: Array) -> Array:
    """`log(1 - e^-y)` for positive `y`, neither branch losing digits nor gradients."""
    small = y < 0.7
    near = jnp.log(-jnp.expm1(-jnp.where(small, y, 1.0)))
    far = jnp.log1p(-jnp.exp(-jnp.where(small, 1.0, y)))
    return jnp.where(small, near, far)
