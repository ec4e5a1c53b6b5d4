"""Divergences in closed form."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.checks import check_shape
from ..core.density import AbstractDensity
from .log_variance import LogVarianceNormal
from .normal import Normal, StandardNormal


def gaussian_divergence(
    q: AbstractDensity[Array], p: AbstractDensity[Array]
) -> Float[Array, ""]:
    """`KL(q || p)` of two Gaussians whose elements are independent."""
    (loc, log_scale), (other, log_other) = _numbers(q), _numbers(p)
    check_shape("gaussian_divergence", loc.shape, other)
    distance = jnp.exp(-log_other) * (loc - other)
    ratio = log_scale - log_other
    return jnp.sum((jnp.expm1(2 * ratio) + distance**2) / 2 - ratio)


def _numbers(q: AbstractDensity[Array]) -> tuple[Array, Array]:
    """Location and log scale."""
    match q:
        case Normal():
            return q.loc, q.log_scale
        case LogVarianceNormal():
            return q.loc, q.log_variance / 2
        case StandardNormal():
            return jnp.zeros(q.shape), jnp.zeros(q.shape)
    raise TypeError(
        "gaussian_divergence: expected `Normal`, `LogVarianceNormal` or "
        f"`StandardNormal`; got {type(q).__name__}. Other divergences are estimated."
    )
