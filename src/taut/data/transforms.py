"""What is done to one example: dequantisation, logit scale, binarisation.

All functions take one example of any shape; `jax.vmap` them over a batch.
"""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Num, PRNGKeyArray

from .examples import Examples

_BLOCK = 2000


def intensity(x: Num[Array, "*event"], levels: int | None) -> Float[Array, "*event"]:
    """Grey values in [0, 1] of stored integers; floats are returned as they are."""
    if levels is None or jnp.issubdtype(x.dtype, jnp.floating):
        return x
    return x.astype(float) / (levels - 1)


def dequantise(key: PRNGKeyArray, x: Num[Array, "*event"]) -> Float[Array, "*event"]:
    """`x + U[0, 1)`: a density on [0, levels) bounds the integers' log-mass below."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(float)
    noisy = x + jr.uniform(key, x.shape, x.dtype)
    # Rounding must not carry a value into the next level.
    return jnp.minimum(noisy, jnp.nextafter(x + 1, x))


def logit_transform(
    x: Float[Array, "*event"], *, lam: float = 1e-6, levels: int = 256
) -> tuple[Float[Array, "*event"], Float[Array, ""]]:
    """`u = logit(lam + (1 - 2 lam) x / levels)` and `log |det du/dx|`.

    So `log p(x) = log p(u) + log_det` is the log-density on [0, levels)^D; on
    [0, 1)^D it is larger by `D log levels`.
    """
    _check(lam)
    # s and 1 - s, each from its own end: no digits are lost near either.
    s = lam + (1 - 2 * lam) * (x / levels)
    r = lam + (1 - 2 * lam) * (1 - x / levels)
    u = jnp.log(s) - jnp.log(r)
    # du/dx = (1 - 2 lam) / (levels s (1 - s))
    constant = math.log1p(-2 * lam) - math.log(levels)
    return u, jnp.sum(constant - jnp.log(s) - jnp.log(r))


def logit_inverse(
    u: Float[Array, "*event"], *, lam: float = 1e-6, levels: int = 256
) -> tuple[Float[Array, "*event"], Float[Array, ""]]:
    """The `x` that `logit_transform` takes to `u`, and `log |det dx/du|`."""
    _check(lam)
    x = levels * (jax.nn.sigmoid(u) - lam) / (1 - 2 * lam)
    constant = math.log(levels) - math.log1p(-2 * lam)
    log_det = jnp.sum(constant + jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u))
    return x, log_det


def _check(lam: float) -> None:
    if not 0 <= lam < 0.5:
        raise ValueError(f"lam must lie in [0, 0.5); got {lam}")


def binarise(key: PRNGKeyArray, p: Float[Array, "*event"]) -> Float[Array, "*event"]:
    """1 where `u < p`, `u ~ U[0, 1)`: never at p = 0, always at p = 1."""
    if not jnp.issubdtype(p.dtype, jnp.floating):
        raise TypeError(
            f"binarise needs grey values in [0, 1] as floats; got {p.dtype}. Divide "
            "by 255, or use `intensity`."
        )
    return (jr.uniform(key, p.shape, p.dtype) < p).astype(p.dtype)


def fixed_binarisation(examples: Examples, *, seed: int | None = None) -> np.ndarray:
    """All images of a split, drawn once: by the card's seed, or by another to redraw.

    Image `i` uses key `fold_in(key(seed), i)`; the result is float32 of 0 and 1.
    """
    if examples.card.levels is None:
        raise ValueError(f"{examples.card.name} is real-valued: nothing to binarise")
    p = examples.intensities()
    if examples.card.levels == 2:
        return p
    key = jr.key(examples.card.seed if seed is None else seed)
    draw = jax.jit(jax.vmap(lambda i, p: binarise(jr.fold_in(key, i), p)))
    # In blocks, so that large splits need little memory.
    starts = range(0, len(p), _BLOCK)
    blocks = [
        draw(jnp.arange(i, min(i + _BLOCK, len(p))), p[i : i + _BLOCK]) for i in starts
    ]
    return np.concatenate([np.asarray(block) for block in blocks])
