"""One step size for all temperatures, or one for each."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from ..core.kernel import Path


def step_sizes(sizes: ArrayLike) -> Float[Array, "*T"]:
    """A float array from either."""
    return jnp.asarray(sizes, float)


def step_size_at(
    path: Path, t: int | Int[Array, ""], sizes: Float[Array, "*T"]
) -> Float[Array, ""]:
    """The one for `t`."""
    betas = path.betas
    if sizes.shape not in ((), betas.shape):
        raise ValueError(
            "Expected a step size of shape (), or of shape "
            f"{betas.shape}, one per temperature (a leading 0 of `betas` is none); got "
            f"shape {sizes.shape}."
        )
    return jnp.broadcast_to(sizes, betas.shape)[t].astype(betas.dtype)
