"""A Gaussian whose second parameter is the log of its variance."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from ..core.checks import check_shape
from ..core.density import AbstractReparameterised


class LogVarianceNormal(AbstractReparameterised[Array]):
    """Independent Gaussians `N(loc, exp(log_variance))`: the law of `Normal`, in which
    a gradient step (of `Refined`, say) goes another way.
    """

    loc: Float[Array, "*shape"]
    log_variance: Float[Array, "*shape"]
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, loc: Float[Array, "*shape"], log_variance: Float[Array, "*shape"]
    ):
        self.loc, self.log_variance = jnp.asarray(loc), jnp.asarray(log_variance)
        self.shape = self.loc.shape
        check_shape("LogVarianceNormal", self.shape, self.log_variance)

    def noise(self, key):
        check_shape("LogVarianceNormal", self.shape, self.loc)
        return jr.normal(key, self.shape, self.loc.dtype)

    def from_noise(self, noise):
        return self.loc + jnp.exp(self.log_variance / 2) * noise

    def to_noise(self, x):
        check_shape("LogVarianceNormal", self.shape, self.loc, x)
        return (x - self.loc) * jnp.exp(-self.log_variance / 2)

    def log_density(self, x):
        check_shape("LogVarianceNormal", self.shape, self.loc, x)
        return jnp.sum(norm.logpdf(x, self.loc, jnp.exp(self.log_variance / 2)))
