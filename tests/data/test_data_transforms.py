"""Dequantisation, the logit scale and binarisation against exact values."""

import jax
import jax.numpy as jnp
import jax.random as jr
import made_files
import numpy as np
import pytest

from taut import data
from taut.data.transforms import (
    binarise,
    dequantise,
    fixed_binarisation,
    intensity,
    logit_inverse,
    logit_transform,
)


def _values(seed=0, size=20):
    return jnp.asarray(np.random.RandomState(seed).uniform(0, 256, size))


@pytest.mark.parametrize("lam", [1e-6, 0.05])
def test_log_determinant_is_that_of_the_jacobian(lam):
    x = _values()
    u, log_det = logit_transform(x, lam=lam)
    jacobian = jax.jacobian(lambda x: logit_transform(x, lam=lam)[0])(x)
    np.testing.assert_allclose(log_det, jnp.linalg.slogdet(jacobian)[1], rtol=1e-9)
    back, inverse_log_det = logit_inverse(u, lam=lam)
    np.testing.assert_allclose(back, x, rtol=1e-9)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=1e-9)


def test_density_on_the_logit_scale_has_mass_one():
    # u normal, x = inverse(u): the density of x by the transform sums to one.
    def log_density(x):
        u, log_det = logit_transform(x[None], lam=1e-6)
        return jax.scipy.stats.norm.logpdf(u[0], 0.3, 1.2) + log_det

    edges = jnp.linspace(0, 256, 400_001)
    middle = (edges[1:] + edges[:-1]) / 2
    mass = jnp.exp(jax.vmap(log_density)(middle)).sum() * (edges[1] - edges[0])
    np.testing.assert_allclose(mass, 1, atol=1e-6)


def test_logit_scale_keeps_digits_at_both_ends(float32):
    x = np.array([0.0, 1e-3, 128.0, 255.999], np.float32)
    u, log_det = jax.jit(logit_transform)(jnp.asarray(x))
    assert u.dtype == jnp.float32
    s = 1e-6 + (1 - 2e-6) * x.astype(np.float64) / 256
    np.testing.assert_allclose(u, np.log(s) - np.log1p(-s), rtol=2e-5, atol=1e-6)
    exact = np.sum(np.log1p(-2e-6) - np.log(256) - np.log(s) - np.log1p(-s))
    np.testing.assert_allclose(log_det, exact, rtol=2e-5)
    back, _ = logit_inverse(u)
    np.testing.assert_allclose(back, x, atol=2e-3)


def test_no_margin_and_too_much():
    x = _values()
    u, _ = logit_transform(x, lam=0.0, levels=256)
    np.testing.assert_allclose(jax.nn.sigmoid(u) * 256, x, rtol=1e-12)
    for function in (logit_transform, logit_inverse):
        with pytest.raises(ValueError, match=r"\[0, 0.5\)"):
            function(x, lam=0.5)


def test_dequantised_values_stay_in_their_level(float32, getkey):
    # In float32 255 + u rounds up to 256 about 8 times in a million.
    x = jnp.full(3_000_000, 255, jnp.uint8)
    noisy = jax.jit(dequantise)(getkey(), x)
    assert noisy.dtype == jnp.float32
    assert bool((jnp.floor(noisy) == 255).all())
    small = jnp.arange(4).repeat(50_000)
    noise = dequantise(getkey(), small) - small
    error = 1 / np.sqrt(12 * noise.size)
    assert abs(noise.mean() - 0.5) < 5 * error


def test_binarise_has_the_mean_of_the_image(getkey):
    p = jnp.asarray(made_files.grey_images(1)[0] / np.float32(255))
    keys = jr.split(getkey(), 4000)
    draws = jax.vmap(binarise, in_axes=(0, None))(keys, p)
    assert set(np.unique(draws)) == {0, 1}
    error = np.sqrt(np.maximum(p * (1 - p), 1e-12) / 4000)
    score = (draws.mean(0) - p) / error
    # 784 pixels: the largest of as many normal scores exceeds 5 once in 2000 seeds.
    assert np.abs(score).max() < 5
    # Two passes differ.
    assert (draws[0] != draws[1]).any()


def test_black_never_fires_and_white_always_does(getkey, float32):
    p = jnp.concatenate([jnp.zeros(500_000), jnp.ones(500_000)])
    assert bool((binarise(getkey(), p) == p).all())


def test_binarise_refuses_integers(getkey):
    with pytest.raises(TypeError, match="floats; got uint8"):
        binarise(getkey(), jnp.zeros(3, jnp.uint8))


def test_intensity():
    levels = jnp.array([0, 51, 255], jnp.uint8)
    np.testing.assert_allclose(intensity(levels, 256), [0, 0.2, 1])
    np.testing.assert_allclose(intensity(jnp.array([0.3]), 256), [0.3])
    np.testing.assert_allclose(intensity(jnp.array([16]), 17), [1])


def test_fixed_binarisation(root, monkeypatch):
    test = data.load("digits", "test")
    drawn = fixed_binarisation(test)
    assert drawn.shape == test.images.shape
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(fixed_binarisation(test), drawn)
    assert (fixed_binarisation(test, seed=1) != drawn).any()
    # Image i is drawn from its own key, whatever the blocks and the precision.
    one = binarise(jr.fold_in(jr.key(0), 7), jnp.asarray(test.intensities()[7]))
    np.testing.assert_array_equal(one, drawn[7])
    monkeypatch.setattr("taut.data.transforms._BLOCK", 50)
    with jax.enable_x64(False):  # noqa: FBT003
        np.testing.assert_array_equal(fixed_binarisation(test), drawn)
    # The mean over all pixels is that of the grey values.
    p = test.intensities()
    error = np.sqrt((p * (1 - p)).sum()) / p.size
    assert abs(drawn.mean() - p.mean()) < 4 * error


def test_fixed_binarisation_of_what_is_binary_or_real(known, root):
    def draw(seed, count):
        return np.random.RandomState(seed).randint(0, 2, (count, 2), np.uint8)

    sizes = {"train": 20}
    known(data.synthetic("bits", (2,), draw, sizes, "bits", levels=2))
    bits = data.load("bits", "train")
    np.testing.assert_array_equal(fixed_binarisation(bits), bits.images)
    known(data.synthetic("reals", (2,), draw, sizes, "reals"))
    with pytest.raises(ValueError, match="nothing to binarise"):
        fixed_binarisation(data.load("reals", "train"))
