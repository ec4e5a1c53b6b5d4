"""The two-dimensional targets: ceilings, normalisation, samplers."""

import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

from taut.densities.synthetic import (
    Checkerboard,
    NineGaussians,
    RadialRings,
    Rings,
)

CASES = [
    (NineGaussians(), -0.42993, 2.0),
    (Checkerboard(), -2.07944, 2.0),
    (Checkerboard(0.0, 1.0), 0.69315, 1.0),
    (Rings(), -1.59541, 2.0),
    (RadialRings(), -1.51371, 2.0),
]
each = pytest.mark.parametrize(("density", "ceiling", "extent"), CASES)


@each
def test_ceiling(density, ceiling, extent):
    """By quadrature, and by the density's own draws."""
    assert abs(density.ceiling - ceiling) < 1e-5
    draws = jax.jit(jax.vmap(density.draw))(jr.split(jr.key(0), 20_000))
    logs = jax.jit(jax.vmap(density.log_density))(draws)
    assert abs(jnp.mean(logs) - ceiling) < 5 * jnp.std(logs) / 20_000**0.5 + 1e-5


@each
def test_integrates_to_one(density, ceiling, extent):
    side = jnp.linspace(-extent, extent, 801)[:-1] + extent / 800
    points = jnp.stack(jnp.meshgrid(side, side), -1).reshape(-1, 2)
    mass = jnp.exp(jax.jit(jax.vmap(density.log_density))(points))
    # The code's rings are infinite in the middle, where one cell is coarse.
    assert abs(jnp.sum(mass) * (extent / 400) ** 2 - 1) < 1e-3


@each
def test_moments_of_the_draws(density, ceiling, extent):
    """Against the density on a grid: first and second moments of x, y and radius."""
    side = jnp.linspace(-extent, extent, 401)[:-1] + extent / 400
    points = jnp.stack(jnp.meshgrid(side, side), -1).reshape(-1, 2)
    mass = jnp.exp(jax.jit(jax.vmap(density.log_density))(points))
    radius = lambda x: jnp.linalg.norm(x, axis=-1, keepdims=True)
    features = lambda x: jnp.concatenate([x, x**2, radius(x), x[:, :1] * x[:, 1:]], 1)
    known = mass @ features(points) / jnp.sum(mass)
    found = features(jax.jit(jax.vmap(density.draw))(jr.split(jr.key(2), 20_000)))
    error = jnp.std(found, 0) / 20_000**0.5
    assert jnp.all(jnp.abs(jnp.mean(found, 0) - known) < 5 * error + 1e-3)


def test_the_two_pairs_of_rings_differ():
    """The printed formula favours the outer ring; the code draws both alike."""
    inner = lambda density: jnp.mean(
        jnp.linalg.norm(jax.vmap(density.draw)(jr.split(jr.key(1), 4000)), axis=1)
        < 0.95
    )
    assert abs(inner(RadialRings()) - 0.5) < 0.04
    assert abs(inner(Rings()) - 0.6 / 1.9) < 0.04


def test_no_density_off_the_board():
    for x in ((2.1, 0.0), (-0.5, 0.5), (0.5, 2.0)):
        assert jnp.isneginf(Checkerboard().log_density(jnp.array(x)))
    with pytest.raises(ValueError, match="low must be below high"):
        Checkerboard(1.0, 0.0)
    with pytest.raises(ValueError, match=r"events of shape \(2,\)"):
        Checkerboard().log_density(jnp.zeros(3))


def test_finite_slopes_in_the_middle():
    for density in (Rings(), RadialRings()):
        assert jnp.all(jnp.isfinite(jax.grad(density.log_density)(jnp.zeros(2))))
