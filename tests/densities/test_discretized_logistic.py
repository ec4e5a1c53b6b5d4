"""Pixels: probabilities that add up, at both edges and at any scale."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from taut import DiscretizedLogistic


@jax.jit
def log_probs(loc, log_scale):
    make = lambda loc, log_scale: DiscretizedLogistic(loc, log_scale)
    pixel = lambda x: make(jnp.asarray(loc), jnp.asarray(log_scale)).log_density(x)
    return jax.vmap(pixel)(jnp.arange(256.0))


slopes_of_log_probs = jax.jit(jax.jacrev(log_probs, (0, 1)))


@pytest.mark.parametrize("loc", [-0.5, 0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("log_scale", [-8.0, -3.0, 0.0, 4.0])
def test_sums_to_one(loc, log_scale):
    assert np.isclose(np.sum(np.exp(log_probs(loc, log_scale))), 1.0, atol=1e-12)


def test_edges_take_the_tails():
    """Against the distribution function, written out."""
    loc, scale = 0.3, 0.2
    below = lambda y: 1 / (1 + np.exp(-(y - loc) / scale))
    found = np.exp(log_probs(loc, np.log(scale)))
    assert np.isclose(found[0], below(1 / 256))
    assert np.isclose(found[255], 1 - below(255 / 256))
    assert np.isclose(found[100], below(101 / 256) - below(100 / 256))


@pytest.mark.parametrize("log_scale", [-200.0, -30.0, -12.0, 12.0, 200.0])
@pytest.mark.parametrize("loc", [-1.0, 0.5, 100 / 256])
def test_extreme_scales(loc, log_scale, float32):
    """Values and gradients are finite at every pixel."""
    parameters = jnp.float32(loc), jnp.float32(log_scale)
    values = log_probs(*parameters)
    assert values.dtype == jnp.float32
    assert np.all(np.isfinite(values))
    assert np.all(np.asarray(values) <= 0)
    slopes = slopes_of_log_probs(*parameters)
    assert all(np.all(np.isfinite(slope)) for slope in slopes)


def test_gradient():
    """Both branches of `log(1 - e^-y)` have the right slope."""
    at = jax.jit(lambda log_scale: log_probs(0.37, log_scale))
    slope = jax.jit(jax.jacfwd(at))
    for log_scale in (-7.0, -5.0, -1.0):
        step = 1e-5
        found = slope(log_scale)
        known = (at(log_scale + step) - at(log_scale - step)) / (2 * step)
        assert np.allclose(found, known, rtol=1e-5, atol=1e-5)


def test_bytes_are_levels():
    """As images come: in bytes, 255 + 1 and 256 are both 0."""
    pixels = jnp.arange(256)
    density = DiscretizedLogistic(jnp.full(256, 0.3), jnp.full(256, -1.0))
    expected = density.log_density(pixels.astype(float))
    assert jnp.isfinite(expected)
    for dtype in (jnp.uint8, jnp.int32):
        assert density.log_density(pixels.astype(dtype)) == expected


def test_draws(getkey):
    density = DiscretizedLogistic(jnp.array(0.9), jnp.array(-2.0), levels=8)
    draws = jax.vmap(density.draw)(jr.split(getkey(), 40_000))
    found = jnp.bincount(draws.astype(int), length=8) / draws.size
    probs = jnp.exp(jax.vmap(density.log_density)(jnp.arange(8.0)))
    assert jnp.all(jnp.abs(found - probs) < 5 * jnp.sqrt(probs / draws.size))


def test_no_other_values():
    density = DiscretizedLogistic(jnp.zeros(()), jnp.zeros(()))
    for x in (-1.0, 256.0, 3.5):
        assert jnp.isneginf(density.log_density(jnp.array(x)))


def test_shapes():
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        DiscretizedLogistic(jnp.zeros(2), jnp.zeros(3))
    with pytest.raises(ValueError, match="levels must be"):
        DiscretizedLogistic(jnp.zeros(2), jnp.zeros(2), levels=1)
