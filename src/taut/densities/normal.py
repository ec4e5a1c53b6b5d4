"""Gaussians with independent elements."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from ..core.checks import check_shape
from ..core.density import AbstractReparameterised


class StandardNormal(AbstractReparameterised[Array]):
    """No parameters, so nothing for an optimiser to find."""

    shape: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self):
        if not isinstance(self.shape, tuple):
            raise TypeError(
                "StandardNormal: expected a shape such as `(3,)` (`()` is a scalar's); "
                f"got {self.shape!r}."
            )

    def noise(self, key):
        return jr.normal(key, self.shape)

    def from_noise(self, noise):
        return noise

    def to_noise(self, x):
        check_shape("StandardNormal", self.shape, x)
        return x

    def log_density(self, x):
        check_shape("StandardNormal", self.shape, x)
        return jnp.sum(norm.logpdf(x))


class Normal(AbstractReparameterised[Array]):
    """Independent Gaussians, one per element."""

    loc: Float[Array, "*shape"]
    log_scale: Float[Array, "*shape"]
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, loc: Float[Array, "*shape"], log_scale: Float[Array, "*shape"]):
        self.loc, self.log_scale = jnp.asarray(loc), jnp.asarray(log_scale)
        self.shape = self.loc.shape
        check_shape("Normal", self.shape, self.log_scale)

    def noise(self, key):
        check_shape("Normal", self.shape, self.loc)
        return jr.normal(key, self.shape, self.loc.dtype)

    def from_noise(self, noise):
        return self.loc + jnp.exp(self.log_scale) * noise

    def to_noise(self, x):
        check_shape("Normal", self.shape, self.loc, x)
        return (x - self.loc) * jnp.exp(-self.log_scale)

    def log_density(self, x):
        check_shape("Normal", self.shape, self.loc, x)
        return jnp.sum(norm.logpdf(x, self.loc, jnp.exp(self.log_scale)))
