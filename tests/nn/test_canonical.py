"""The convolution primitive is XLA's convolution: values, derivatives, every `vmap`."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

from taut.nn import conv
from taut.nn.canonical import LAYOUT, convolved


def xla(x, kernel, stride, pads):
    return jax.lax.conv_general_dilated(
        x, kernel, stride, pads, dimension_numbers=LAYOUT
    )


def same(ours, theirs):
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert jnp.allclose(a, b, rtol=1e-10, atol=1e-10)


CASES = [
    ((9, 6), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((9, 6), (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((10, 7), (2, 4), (3, 2), ((0, 1), (2, 0))),
    ((8, 8), (1, 1), (2, 1), ((0, 0), (0, 0))),
    ((7, 9), (3, 2), (2, 3), ((3, 3), (1, -1))),
]


@pytest.mark.parametrize(("size", "window", "stride", "pads"), CASES)
def test_values_and_gradients(getkey, size, window, stride, pads):
    x = jr.normal(getkey(), (4, *size, 3))
    kernel = jr.normal(getkey(), (*window, 3, 2))

    def found(form):
        loss = lambda x, k: jnp.sum(jnp.sin(form(x, k, stride, pads)))
        return jax.jit(jax.value_and_grad(loss, (0, 1)))(x, kernel)

    same(found(convolved), found(xla))


STRIDE, PADS = (2, 2), ((1, 1), (1, 1))
AXES = [(0, None), (None, 0), (0, 0), (1, None), (None, 3), (1, 3)]


@pytest.mark.parametrize(
    ("axes", "outside"), list(itertools.product(AXES, ("vmap", "grad")))
)
def test_vmap_over_images_and_kernels(getkey, axes, outside):
    shapes = ((4, 7, 7, 3), (3, 3, 3, 2))
    at = lambda shape, axis: (
        shape if axis is None else (*shape[:axis], 5, *shape[axis:])
    )
    args = [jr.normal(getkey(), at(s, a)) for s, a in zip(shapes, axes)]

    def found(form):
        run = lambda x, k: jnp.sin(form(x, k, STRIDE, PADS))
        if outside == "vmap":
            slope = jax.grad(lambda *args: jnp.sum(run(*args)), (0, 1))
            return jax.jit(jax.vmap(slope, axes))(*args)
        total = lambda *args: jnp.sum(jax.vmap(run, axes)(*args))
        return jax.jit(jax.grad(total, (0, 1)))(*args)

    same(found(convolved), found(xla))


def test_derivatives_of_derivatives(getkey):
    x, kernel = jr.normal(getkey(), (2, 5, 5, 2)), jr.normal(getkey(), (3, 3, 2, 2))

    def found(form):
        run = lambda x, k: jnp.sum(jnp.sin(form(x, k, STRIDE, PADS)))
        slope = lambda k: jnp.sum(jax.grad(run)(x, k) ** 2)
        hessian = jax.hessian(run)(x, kernel)
        checkpointed = jax.grad(jax.checkpoint(run), (0, 1))(x, kernel)
        return jax.grad(slope)(kernel), hessian, checkpointed

    same(found(convolved), found(xla))


def test_float32_takes_it_in_a_loop(getkey, float32):
    """The form that `convolve` takes in single precision, inside `lax.scan`."""
    x, kernel = jr.normal(getkey(), (3, 6, 6, 2)), jr.normal(getkey(), (3, 3, 2, 2))
    taken = lambda *args: str(jax.make_jaxpr(conv.convolve)(*args))
    assert "taut_convolution" in taken(x[0], kernel)
    half = (x[0].astype("bfloat16"), kernel.astype("bfloat16"))
    assert "taut_convolution" not in taken(*half)

    def looped(form):
        def step(k, _):
            slope = jax.grad(lambda k: jnp.sum(jnp.tanh(form(x, k))))(k)
            return k - 0.1 * slope, None

        return jax.lax.scan(step, kernel, length=3)[0]

    ours = looped(lambda x, k: jax.vmap(lambda x: conv.convolve(x, k))(x))
    theirs = looped(lambda x, k: xla(x, k, (1, 1), PADS))
    assert jnp.allclose(ours, theirs, atol=1e-4)
