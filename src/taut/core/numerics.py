"""Sums of exponentials that stay right for a million float32 weights, and for none."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_BLOCK = 1024


def _sum(x: Float[Array, " n"]) -> Float[Array, ""]:
    """Blocks first, then the sums of blocks: the error grows with neither."""
    if x.shape[0] <= _BLOCK:
        return jnp.sum(x)
    blocks = jnp.pad(x, (0, -x.shape[0] % _BLOCK)).reshape(-1, _BLOCK)
    return _sum(jnp.sum(blocks, axis=1))


@jax.custom_jvp
def log_sum_exp(x: Float[Array, " n"]) -> Float[Array, ""]:
    """`log sum exp`; of nothing but zero weights it is `-inf`, of an infinite weight
    `inf`, both with gradient zero.
    """
    top = jnp.max(x)
    top = jnp.where(jnp.isfinite(top), top, 0.0).astype(x.dtype)
    return jnp.log(_sum(jnp.exp(x - top))) + top


@log_sum_exp.defjvp
def _(primals, tangents):
    (x,), (t,) = primals, tangents
    total = log_sum_exp(x)
    p = normalised(x, total)
    return total, jnp.sum(jnp.where(p > 0, p * t, 0.0))


def normalised(x: Float[Array, " n"], total: Float[Array, ""]) -> Float[Array, " n"]:
    """`exp(x - total)`, and zero where every weight is zero, or one is infinite."""
    none = jnp.isinf(total)
    return jnp.where(none, 0.0, jnp.exp(x - jnp.where(none, 0.0, total)))


def log_mean_exp(x: Float[Array, " n"]) -> Float[Array, ""]:
    """Log of the average of `exp(x)`."""
    return log_sum_exp(x) - jnp.log(x.shape[0]).astype(x.dtype)
