"""A convolution whose gradients keep the one layout that XLA's CPU backend is fast at.

XLA rewrites convolutions into that layout (batch, rows, columns, channels) at the top
level of a program only. Inside `lax.scan` the gradients that JAX derives, which reverse
the kernel or swap its axes by dimension numbers, fall to a naive loop nest: tens to
hundreds of times slower. Here they are convolutions in that layout by construction,
with flips and transpositions written out; the primitive is closed under derivatives.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.lax as lax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

Pair = tuple[int, int]
Pairs = tuple[Pair, Pair]
LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolved(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "kh kw channels out"],
    stride: Pair,
    pads: Pairs,
    gaps: Pair = (1, 1),
    spread: Pair = (1, 1),
) -> Float[Array, "batch rows columns out"]:
    """`lax.conv_general_dilated`: `gaps` dilates the image, `spread` the kernel."""
    if min(map(min, pads)) < 0:  # crop beforehand
        zero = jnp.zeros((), x.dtype)
        edges = [(*pad, gap - 1) for pad, gap in zip(pads, gaps)]
        x = lax.pad(x, zero, [(0, 0, 0), *edges, (0, 0, 0)])
        pads, gaps = ((0, 0), (0, 0)), (1, 1)
    given = {"stride": stride, "pads": pads, "gaps": gaps, "spread": spread}
    return convolution_p.bind(x, kernel, **given)


def _plain(x, kernel, *, stride, pads, gaps, spread):
    return lax.conv_general_dilated(
        x, kernel, stride, pads, gaps, spread, dimension_numbers=LAYOUT
    )


def _abstract(x, kernel, **given):
    out = jax.eval_shape(lambda x, k: _plain(x, k, **given), x, kernel)
    return ShapedArray(out.shape, out.dtype)


def _sizes(x, kernel, out, stride, gaps, spread):
    """Of each axis: what image, kernel and output span with their holes."""
    span = lambda n, hole: (n - 1) * hole + 1
    for axis in (0, 1):
        n, k, m = x[axis + 1], kernel[axis], out[axis + 1]
        yield span(n, gaps[axis]), span(k, spread[axis]), span(m, stride[axis])


def _image_gradient(slope, x, kernel, *, stride, pads, gaps, spread):
    """The slope, spread out, convolved with the kernel turned round."""
    sizes = _sizes(x.aval.shape, kernel.shape, slope.shape, stride, gaps, spread)
    high, wide = (
        (window - low - 1, image + low - out)
        for (low, _), (image, window, out) in zip(pads, sizes)
    )
    turned = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    return convolved(slope, turned, gaps, (high, wide), stride, spread)


def _kernel_gradient(slope, x, kernel, *, stride, pads, gaps, spread):
    """The image convolved with the slope, summed over the batch as over channels."""
    sizes = _sizes(x.shape, kernel.aval.shape, slope.shape, stride, gaps, spread)
    high, wide = (
        (low, out - image + window - low - 1)
        for (low, _), (image, window, out) in zip(pads, sizes)
    )
    image, window = jnp.transpose(x, (3, 1, 2, 0)), jnp.transpose(slope, (1, 2, 0, 3))
    out = convolved(image, window, spread, (high, wide), gaps, stride)
    return jnp.transpose(out, (1, 2, 0, 3))


def _batched(args, axes, **given):
    """More images are more of the batch, more kernels more channels; pairs of both go
    one by one, as a loop is no slower.
    """
    (x, kernel), (at, kernel_at) = args, axes
    run: Callable[..., Any] = lambda x, k: convolution_p.bind(x, k, **given)
    if kernel_at is None:
        x = jnp.moveaxis(x, at, 0)
        y = run(x.reshape(-1, *x.shape[2:]), kernel)
        return y.reshape(*x.shape[:2], *y.shape[1:]), 0
    kernel = jnp.moveaxis(kernel, kernel_at, -1)
    if at is None:
        y = run(x, kernel.reshape(*kernel.shape[:3], -1))
        return y.reshape(*y.shape[:3], *kernel.shape[3:]), 4
    pairs = jnp.moveaxis(x, at, 0), jnp.moveaxis(kernel, -1, 0)
    return lax.map(lambda pair: run(*pair), pairs), 0


convolution_p = Primitive("taut_convolution")
convolution_p.def_impl(
    jax.jit(_plain, static_argnames=("stride", "pads", "gaps", "spread"))
)
convolution_p.def_abstract_eval(_abstract)
mlir.register_lowering(convolution_p, mlir.lower_fun(_plain, multiple_results=False))
ad.defbilinear(convolution_p, _image_gradient, _kernel_gradient)
batching.primitive_batchers[convolution_p] = _batched
