"""The one convolution of the library: channels last, unbatched, fast inside loops.

XLA's CPU backend has a fast convolution only in one layout, which it finds by itself
only outside control flow: inside `lax.scan` the gradient by the weights, as JAX derives
it, falls to a naive loop nest. One gradient step of six gated 3x3 convolutions (32
channels, 28x28, batch 50, two busy cores, JAX 0.10.2), in seconds of the CPU:

    form                  gradient by the weights     gradient by the image
                          outside      in scan        outside      in scan
    XLA's convolution        0.37        21.39           0.26         0.64
    columns                  0.85         0.81           0.36         0.36
    one layout               0.37         0.35           0.25         0.24

(`benchmarks/conv_in_loop.py`). Training under `scan`, SVI through a PixelCNN and AIS
through a convolutional decoder run convolutions in loops, so on the CPU `convolve` has
gradients that keep to that layout (`canonical`); in double precision, where XLA has no
fast code at all, it is `kh` matrix products of side-by-side columns. On any other
backend it is XLA's own. All agree to rounding.
"""

import math
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .canonical import convolved

Pair = tuple[int, int]
Pairs = tuple[Pair, Pair]
Padding = Pairs | Callable[[Pair, Pair, Pair], Pairs]


def valid(size: Pair, kernel: Pair, stride: Pair) -> Pairs:
    """No padding: the kernel stays within the image."""
    return (0, 0), (0, 0)


def same(size: Pair, kernel: Pair, stride: Pair) -> Pairs:
    """Zeros that make the output `ceil(size / stride)`; an odd one goes at the end."""

    def pair(n: int, k: int, s: int) -> Pair:
        total = max((-(-n // s) - 1) * s + k - n, 0)
        return total // 2, total - total // 2

    return pair(size[0], kernel[0], stride[0]), pair(size[1], kernel[1], stride[1])


def convolve(
    x: Float[Array, "height width channels"],
    kernel: Float[Array, "kh kw channels out"],
    stride: Pair = (1, 1),
    padding: Padding = same,
) -> Float[Array, "rows columns out"]:
    """Cross-correlate `x` with `kernel` in the form that is fast on this backend."""
    x, kernel, pads = _prepare(x, kernel, stride, padding)
    return _form(kernel)(x, kernel, stride, pads)


def convolve_transpose(
    x: Float[Array, "rows columns channels"],
    kernel: Float[Array, "kh kw out channels"],
    stride: Pair = (1, 1),
    padding: Padding = same,
    size: Pair | None = None,
) -> Float[Array, "height width out"]:
    """The transpose of the linear map `convolve(., kernel, stride, padding)`.

    `size` is the output's (height, width), needed where several convolve to `x`'s. By
    default `rows * stride` for `same`, else `(rows - 1) * stride + kh - padding`.
    """
    if x.ndim != 3 or kernel.ndim != 4 or x.shape[2] != kernel.shape[3]:
        raise ValueError(
            "convolve_transpose expects x (rows, columns, channels) and a kernel "
            f"(kh, kw, out, channels); got {x.shape} and {kernel.shape}. "
            "Batches go through vmap."
        )
    rows, columns = x.shape[:2]
    size = _transposed_size((rows, columns), kernel.shape, stride, padding, size)
    image = jax.ShapeDtypeStruct((*size, kernel.shape[2]), kernel.dtype)
    forward = lambda image: convolve(image, kernel, stride, padding)
    made = jax.eval_shape(forward, image).shape[:2]
    if made != (rows, columns):
        raise ValueError(
            f"size {size} convolves to {made}, not to x's {(rows, columns)}: pass a "
            "size that kernel, stride and padding bring to x's."
        )
    (out,) = jax.linear_transpose(forward, image)(x.astype(kernel.dtype))
    return out


@partial(jax.checkpoint, static_argnums=(2, 3))
def by_columns(x: Array, kernel: Array, stride: Pair, pads: Pairs) -> Array:
    """Convolution as `kh` matrix products: any backend's matrix product, any loop.

    The columns are `kw` times as large as `x`; the gradient builds them again, so that
    a scan over layers keeps `x` alone.
    """
    (kh, kw, channels, out), (down, right) = kernel.shape, stride
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(*pad, 0) for pad in (*pads, (0, 0))])
    rows = (x.shape[0] - kh) // down + 1
    columns = (x.shape[1] - kw) // right + 1
    # wide[h, w] = x[h, w * right : w * right + kw], the kw columns side by side
    shifts = [x[:, j : j + (columns - 1) * right + 1 : right] for j in range(kw)]
    wide = jnp.concatenate(shifts, axis=-1) if kw > 1 else shifts[0]
    # y[h] = sum_i wide[h * down + i] @ kernel[i]
    weights = kernel.reshape(kh, kw * channels, out)
    terms = [wide[i : i + (rows - 1) * down + 1 : down] @ weights[i] for i in range(kh)]
    return sum(terms[1:], terms[0])


def by_layout(x: Array, kernel: Array, stride: Pair, pads: Pairs) -> Array:
    """XLA's convolution, with gradients in the layout that is fast on a CPU."""
    return convolved(x[None], kernel, stride, pads)[0]


def by_xla(x: Array, kernel: Array, stride: Pair, pads: Pairs) -> Array:
    """XLA's convolution: the best form on accelerators, and on a CPU outside loops."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x[None], kernel, stride, pads, dimension_numbers=layout
    )[0]


class Conv2d(eqx.Module):
    """`convolve` with a learned kernel, zero where a given mask is, plus a bias.

    Weights and biases start uniform on `+-1 / sqrt(fan_in)`.
    """

    weight: Float[Array, "kh kw channels out"]
    bias: Float[Array, " out"] | None
    mask: Bool[Array, "..."] | None
    stride: Pair = eqx.field(static=True)
    padding: Padding = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: Pair,
        *,
        stride: Pair = (1, 1),
        padding: Padding = same,
        mask: Bool[Array, "..."] | None = None,
        use_bias: bool = True,
        key: PRNGKeyArray,
    ):
        self.weight, self.bias = _start(key, (*kernel, channels, out), channels, out)
        self.bias = self.bias if use_bias else None
        self.mask = _broadcast(mask, self.weight.shape)
        self.stride, self.padding = stride, padding

    @property
    def kernel(self) -> Float[Array, "kh kw channels out"]:
        """The weights that act: zero where the mask is."""
        if self.mask is None:
            return self.weight
        return jnp.where(self.mask, self.weight, 0)

    def __call__(
        self, x: Float[Array, "height width channels"]
    ) -> Float[Array, "rows columns out"]:
        return self.padded(x, self.padding)

    def padded(
        self, x: Float[Array, "height width channels"], padding: Padding
    ) -> Float[Array, "rows columns out"]:
        """The layer under another padding, as for a part of an image."""
        y = convolve(x, self.kernel, self.stride, padding)
        return y if self.bias is None else y + self.bias


class ConvTranspose2d(eqx.Module):
    """`convolve_transpose` with a learned kernel and bias: the way up in a decoder."""

    weight: Float[Array, "kh kw out channels"]
    bias: Float[Array, " out"] | None
    stride: Pair = eqx.field(static=True)
    padding: Padding = eqx.field(static=True)
    size: Pair | None = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: Pair,
        *,
        stride: Pair = (1, 1),
        padding: Padding = same,
        size: Pair | None = None,
        use_bias: bool = True,
        key: PRNGKeyArray,
    ):
        self.weight, self.bias = _start(key, (*kernel, out, channels), channels, out)
        self.bias = self.bias if use_bias else None
        self.stride, self.padding, self.size = stride, padding, size

    def __call__(
        self, x: Float[Array, "rows columns channels"]
    ) -> Float[Array, "height width out"]:
        y = convolve_transpose(x, self.weight, self.stride, self.padding, self.size)
        return y if self.bias is None else y + self.bias


def _backend() -> str:
    """The platform that code traced now is for."""
    device = jax.config.jax_default_device  # pyright: ignore
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


def _form(kernel: Array) -> Callable[[Array, Array, Pair, Pairs], Array]:
    """XLA's fast code for CPUs is for single precision; one channel on either side is
    too little for it.
    """
    if _backend() != "cpu":
        return by_xla
    fast = kernel.dtype == jnp.float32 and kernel.shape[2] * kernel.shape[3] > 1
    return by_layout if fast else by_columns


def _prepare(x: Array, kernel: Array, stride: Pair, padding: Padding):
    if x.ndim != 3 or kernel.ndim != 4 or x.shape[2] != kernel.shape[2]:
        raise ValueError(
            "convolve expects x (height, width, channels) and a kernel "
            f"(kh, kw, channels, out); got {x.shape} and {kernel.shape}. "
            "Batches go through vmap."
        )
    (height, width, _), (kh, kw, _, _) = x.shape, kernel.shape
    size, window = (height, width), (kh, kw)
    pads = padding(size, window, stride) if callable(padding) else padding
    for n, k, pad in zip(size, window, pads):
        if n + sum(pad) < k:
            raise ValueError(
                f"the image {size} padded by {pads} is smaller than the kernel "
                f"{window}: pass a larger image or more padding."
            )
    dtype = jnp.result_type(x, kernel)
    return x.astype(dtype), kernel.astype(dtype), pads


def _transposed_size(rows, kernel, stride, padding, size) -> Pair:
    if size is not None:
        return size
    if padding is same:
        return rows[0] * stride[0], rows[1] * stride[1]
    pads = ((0, 0), (0, 0)) if callable(padding) else padding
    one = lambda n, k, s, pad: (n - 1) * s + k - sum(pad)
    return (
        one(rows[0], kernel[0], stride[0], pads[0]),
        one(rows[1], kernel[1], stride[1], pads[1]),
    )


def _start(key: PRNGKeyArray, shape: tuple[int, ...], channels: int, out: int):
    limit, num = (channels * shape[0] * shape[1]) ** -0.5, math.prod(shape)
    # one draw of a round size: random bits take long to compile, and few sizes recur
    size = 1 << (num + out - 1).bit_length()
    draws = jr.uniform(key, (size,), minval=-limit, maxval=limit)
    return draws[:num].reshape(shape), draws[num : num + out]


def _broadcast(mask: Array | None, shape: tuple[int, ...]) -> Array | None:
    if mask is None:
        return None
    try:
        return jnp.broadcast_to(jnp.asarray(mask, bool), shape)
    except ValueError as error:
        raise ValueError(
            f"mask {jnp.shape(mask)} does not broadcast to the kernel's {shape} "
            "(kh, kw, channels, out)."
        ) from error
