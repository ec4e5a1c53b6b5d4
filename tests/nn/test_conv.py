"""`convolve` is a convolution: equal to XLA's in value, gradients, vmap and loops."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

from taut.nn import conv

SETTINGS = [
    ((3, 3), (1, 1), conv.same),
    ((3, 3), (2, 2), conv.same),
    ((5, 4), (2, 1), conv.same),
    ((2, 2), (2, 2), conv.valid),
    ((1, 1), (1, 1), conv.valid),
    ((4, 7), (1, 1), ((4, -1), (3, 3))),
    ((5, 5), (3, 2), ((2, 1), (0, 4))),
]


def reference(x, kernel, stride, padding):
    pads = (
        padding(x.shape[:2], kernel.shape[:2], stride) if callable(padding) else padding
    )
    return conv.by_xla(x, kernel, stride, pads)


@pytest.mark.parametrize(("window", "stride", "padding"), SETTINGS)
def test_values_and_gradients_equal_xla(getkey, window, stride, padding):
    x = jr.normal(getkey(), (3, 9, 8, 2))
    kernel = jr.normal(getkey(), (*window, 2, 5))

    def loss(form):
        def value(x, kernel):
            y = jax.vmap(lambda x: form(x, kernel, stride, padding))(x)
            return jnp.sum(jnp.sin(y)), y

        return jax.jit(jax.value_and_grad(value, (0, 1), has_aux=True))

    ours, theirs = loss(conv.convolve)(x, kernel), loss(reference)(x, kernel)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape
        assert jnp.allclose(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("size", "stride"), [(7, 1), (7, 2), (8, 2), (8, 3)])
def test_same_padding_is_xlas(getkey, size, stride):
    x, kernel = jr.normal(getkey(), (size, size, 1)), jr.normal(getkey(), (4, 3, 1, 2))
    theirs = jax.lax.conv_general_dilated(
        x[None],
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )[0]
    ours = conv.convolve(x, kernel, (stride, stride), conv.same)
    assert jnp.allclose(ours, theirs, atol=1e-12)


def test_scan_over_layers_and_forward_mode(getkey):
    x, kernels = (
        jr.normal(getkey(), (6, 6, 3)),
        jr.normal(getkey(), (4, 3, 3, 3, 3)) / 5,
    )

    def looped(kernels):
        step = lambda x, kernel: (jnp.tanh(conv.convolve(x, kernel)), None)
        return jax.lax.scan(step, x, kernels)[0]

    def unrolled(kernels):
        y = x
        for kernel in kernels:
            y = jnp.tanh(reference(y, kernel, (1, 1), conv.same))
        return y

    tangent = jr.normal(getkey(), kernels.shape)
    ours = jax.jvp(jax.jit(looped), (kernels,), (tangent,))
    theirs = jax.jvp(jax.jit(unrolled), (kernels,), (tangent,))
    assert jnp.allclose(ours[0], theirs[0], atol=1e-12)
    assert jnp.allclose(ours[1], theirs[1], atol=1e-12)


@pytest.mark.parametrize(
    ("padding", "name"), [(conv.same, "SAME"), (conv.valid, "VALID")]
)
def test_transpose_is_the_adjoint_and_xlas(getkey, padding, name):
    x, kernel = jr.normal(getkey(), (4, 5, 3)), jr.normal(getkey(), (3, 3, 2, 3))
    y = conv.convolve_transpose(x, kernel, (2, 2), padding)
    theirs = jax.lax.conv_transpose(
        x[None],
        kernel,
        (2, 2),
        name,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        transpose_kernel=True,
    )[0]
    assert jnp.allclose(y, theirs, atol=1e-12)
    other = jr.normal(getkey(), y.shape)
    left = jnp.vdot(y, other)
    right = jnp.vdot(x, conv.convolve(other, kernel, (2, 2), padding))
    assert jnp.allclose(left, right)


def test_transpose_with_a_size_under_vmap_and_grad(getkey):
    layer = conv.ConvTranspose2d(3, 2, (5, 5), stride=(2, 2), size=(7, 7), key=getkey())
    x = jr.normal(getkey(), (2, 4, 4, 3))
    assert jax.vmap(layer)(x).shape == (2, 7, 7, 2)

    @eqx.filter_grad
    def slope(layer):
        return jnp.sum(jax.vmap(layer)(x) ** 2) / 2

    # d/dw of |y|^2/2 along w itself is <y, y - bias>
    y = jax.vmap(layer)(x)
    along = jnp.vdot(slope(layer).weight, layer.weight)
    assert jnp.allclose(along, jnp.vdot(y, y - layer.bias))


def test_mask_holds_for_values_and_gradients(getkey):
    mask = jnp.arange(3)[None, :, None, None] < 2
    layer = conv.Conv2d(2, 4, (1, 3), mask=mask, key=getkey())
    x = jr.normal(getkey(), (5, 6, 2))
    short = conv.convolve(x, layer.weight[:, :2], padding=((0, 0), (1, 0)))
    assert jnp.allclose(layer(x), short + layer.bias)
    slope = eqx.filter_grad(lambda layer: jnp.sum(layer(x) ** 2))(layer)
    assert jnp.all(slope.weight[:, 2] == 0)
    assert jnp.all(slope.weight[:, :2] != 0)
    assert not jax.tree.leaves(eqx.filter(layer.mask, eqx.is_inexact_array))


def test_starts_within_the_fan_in_bound(getkey):
    layer = conv.Conv2d(4, 64, (3, 3), key=getkey())
    limit = 1 / 6
    assert 0.95 * limit < jnp.max(jnp.abs(layer.weight)) <= limit
    assert 0.9 * limit < jnp.max(jnp.abs(layer.bias)) <= limit
    assert conv.Conv2d(4, 64, (3, 3), use_bias=False, key=getkey()).bias is None


def test_float32_stays_float32(float32, getkey):
    layer = conv.Conv2d(1, 2, (3, 3), key=getkey())
    assert layer(jnp.ones((4, 4, 1))).dtype == jnp.float32


def test_clear_errors(getkey):
    layer = conv.Conv2d(2, 4, (3, 3), padding=conv.valid, key=getkey())
    with pytest.raises(ValueError, match="Batches go through vmap"):
        layer(jnp.ones((7, 5, 5, 2)))
    with pytest.raises(ValueError, match="channels"):
        layer(jnp.ones((5, 5, 3)))
    with pytest.raises(ValueError, match="smaller than the kernel"):
        layer(jnp.ones((2, 5, 2)))
    with pytest.raises(ValueError, match="does not broadcast"):
        conv.Conv2d(2, 4, (3, 3), mask=jnp.ones(5, bool), key=getkey())
    up = conv.ConvTranspose2d(2, 1, (3, 3), stride=(2, 2), size=(9, 9), key=getkey())
    with pytest.raises(ValueError, match="pass a size"):
        up(jnp.ones((4, 4, 2)))
