"""A convolution of a doubled image, without the doubled image.

Where a large image has few channels, a convolution costs its memory traffic and hardly
any arithmetic: in the last block of H-IWAE's decoder, 16 channels become two.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def convolve_doubled(
    x: Float[Array, "height width channels"],
    kernel: Float[Array, "3 3 channels out"],
) -> Float[Array, "rows columns out"]:
    """A 3x3 convolution of `x` at twice its height and width (bilinear, corners not
    aligned), with zeros around it.

    Doubling and padding act on rows and on columns apart. So the columns go into the
    weights (`i`, `j` are places in the kernel), which see the small image, and the rows
    are put together last, when there are few channels.
    """
    rows, columns = (_windows(size, kernel.dtype) for size in x.shape[:2])
    weights = jnp.einsum("Wjw,ijco->wciWo", columns, kernel)
    products = jnp.einsum("hwc,wciWo->hiWo", x, weights)
    return jnp.einsum("Hih,hiWo->HWo", rows, products)


def _windows(size: int, dtype: jnp.dtype) -> Float[Array, "twice 3 size"]:
    """A doubled axis, from the axis: what stands before, at and after every place."""
    twice = jax.image.resize(jnp.eye(size, dtype=dtype), (2 * size, size), "bilinear")
    padded = jnp.pad(twice, ((1, 1), (0, 0)))
    return jnp.stack([padded[i : i + 2 * size] for i in range(3)], axis=1)
