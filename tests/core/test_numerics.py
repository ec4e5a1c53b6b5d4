"""Sums over a million weights, over none, and the memory that they take."""

import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut
from taut.core.numerics import log_mean_exp, log_sum_exp

MILLION = 10**6


@pytest.mark.parametrize("spread", [0.0, 1.0, 5.0])
def test_a_million_float32_weights(spread, float32):
    x = (spread * np.random.default_rng(0).normal(size=MILLION) - 90).astype(np.float32)
    exact = np.logaddexp.reduce(x.astype(np.float64)) - np.log(MILLION)
    got = log_mean_exp(jnp.asarray(x))
    assert got.dtype == jnp.float32
    # Two units of the last place of a number near -90, and 1e-5 of the mean weight.
    assert abs(float(got) - exact) < 1.6e-5
    centred = log_mean_exp(jnp.asarray(x) + 90)
    exact = np.logaddexp.reduce((x + np.float32(90)).astype(np.float64))
    assert abs(float(centred) - (exact - np.log(MILLION))) < 1e-5


def test_the_gradient_is_the_normalised_weights():
    x = jr.normal(jr.key(0), (3000,))
    np.testing.assert_allclose(jax.grad(log_sum_exp)(x), jax.nn.softmax(x), rtol=1e-10)


def test_no_weight_at_all():
    x = jnp.full(5, -jnp.inf)
    value, slope = jax.value_and_grad(log_mean_exp)(x)
    assert value == -jnp.inf
    np.testing.assert_array_equal(slope, 0.0)
    particles = taut.Particles(jnp.zeros((5, 1)), x, x)
    np.testing.assert_array_equal(particles.probs, 0.0)
    assert particles.ess == 0


def test_some_weights_of_zero():
    x = jnp.array([-jnp.inf, 0.0, -jnp.inf, 1.0])
    np.testing.assert_allclose(log_mean_exp(x), np.log((1 + np.e) / 4), rtol=1e-12)
    np.testing.assert_allclose(jax.grad(log_mean_exp)(x)[1], 1 / (1 + np.e), rtol=1e-12)


class Nowhere(taut.AbstractTarget):
    """Zero everywhere, with a parameter."""

    shift: jax.Array
    exact = True

    def log_prob(self, key, x):
        inside = jnp.sum(x) > 1e6
        return jnp.where(inside, -jnp.sum((x - self.shift) ** 2), -jnp.inf)


DRAWS = [taut.reparam, taut.stl, taut.dreg, taut.sir, taut.detached]
DRAWS += [taut.reinforce_loo, taut.vimco]


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
def test_zero_weights_have_finite_gradients(draw):
    q = taut.Normal(jnp.zeros(2), jnp.zeros(2))

    def bound(parts):
        target, q = parts
        return taut.Importance(q, 4, draw=draw).run(jr.key(0), target).log_z

    parts = (Nowhere(jnp.zeros(2)), q)
    value, gradient = eqx.filter_value_and_grad(bound)(parts)
    assert value == -jnp.inf
    for leaf in jax.tree_util.tree_leaves(gradient):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("bad", [-jnp.inf, jnp.nan, jnp.inf])
def test_nothing_to_select_is_an_error(bad):
    weights = jnp.full(3, bad)
    particles = taut.Particles(jnp.zeros((3, 1)), weights, weights)
    with pytest.raises(
        Exception, match="one positive weight, no NaN and no infinite one"
    ):
        jax.block_until_ready(eqx.filter_jit(particles.select)(jr.key(0)))


# Memory: a million particles, a thousand at a time.
PROGRAM = """
import equinox as eqx, jax, jax.numpy as jnp, jax.random as jr
import taut

def bound(q, key, draw=taut.reparam):
    prior = taut.Normal(jnp.zeros(2), jnp.zeros(2))
    target = taut.Tilted(prior, lambda z: 0.5 * jnp.sum((z - 1.0) ** 2))
    return taut.Importance(q, 10**6, draw, chunk=1000).run(key, target).log_z

q = taut.Normal(jnp.full(2, 0.4), jnp.zeros(2))
gradient = eqx.filter_jit(eqx.filter_value_and_grad(bound))
"""


@pytest.mark.parametrize("draw", [taut.reparam, taut.vimco])
def test_memory_of_a_million_particles_by_the_compiler(draw):
    scope = {}
    exec(PROGRAM, scope)
    dynamic, static = eqx.partition(scope["q"], eqx.is_array)

    def run(dynamic, key):
        value_and_grad = eqx.filter_value_and_grad(scope["bound"])
        value, gradient = value_and_grad(eqx.combine(dynamic, static), key, draw)
        return value, eqx.filter(gradient, eqx.is_array)

    compiled = jax.jit(run).lower(dynamic, jr.key(0)).compile()
    memory = compiled.memory_analysis()
    print(f"{memory.temp_size_in_bytes / 1e6:.0f} MB")
    assert memory.temp_size_in_bytes < 300e6


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memory_of_a_million_particles_by_the_system():
    """The peak of a whole process, in single precision."""
    # Not `getrusage`: a child inherits the peak of the process that started it.
    measure = """
import pathlib
value, slope = gradient(q, jr.key(0))
status = pathlib.Path("/proc/self/status").read_text()
print(float(value), int(status.split("VmHWM:")[1].split()[0]) / 1e3)
"""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + measure],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    value, megabytes = map(float, done.stdout.split())
    print(f"{megabytes:.0f} MB")
    # Exactly: the integral of N(z; 0, 1) exp(-(z - 1)^2 / 2), twice.
    assert abs(value - (-0.5 - np.log(2.0))) < 0.01
    assert megabytes < 500


def test_an_infinite_weight():
    """What the proposal cannot draw leaves the upper end above, and has no density."""
    value, slope = jax.value_and_grad(log_mean_exp)(jnp.array([0.0, jnp.inf]))
    assert value == jnp.inf
    np.testing.assert_array_equal(slope, 0.0)
    assert jnp.isnan(log_mean_exp(jnp.array([0.0, jnp.nan])))
    coins = taut.Categorical(jnp.array([0.0, 0.0, -jnp.inf]))
    target = taut.Categorical(jnp.array([0.0, -jnp.inf, 0.0]))
    key, sampler = jr.key(0), taut.Importance(coins, 2)
    above = sampler.run_conditional(key, target, 2, target.log_density(jnp.array(2)))
    assert above.log_z == jnp.inf
    for x in (1, 2):
        selected = taut.Induced(target, sampler).log_prob(key, jnp.array(x))
        assert selected == -jnp.inf


@pytest.mark.parametrize("x", [-1, 3])
def test_no_such_category(x):
    assert taut.Categorical(jnp.zeros(3)).log_density(jnp.array(x)) == -jnp.inf


def test_coins_have_two_sides():
    coins = taut.Bernoulli(jnp.array([0.3, -2.0]))
    expected = coins.log_density(jnp.array([0.0, 1.0]))
    assert jnp.isfinite(expected)
    assert coins.log_density(jnp.array([False, True])) == expected
    for x in ([0.5, 1.0], [0.0, 2.0], [-1.0, 0.0]):
        assert coins.log_density(jnp.array(x)) == -jnp.inf
    assert jnp.isnan(coins.log_density(jnp.array([0.0, jnp.nan])))


def test_coins_that_are_sure():
    """Infinite logits, as of a pixel that is black in every image."""
    log_density = lambda logits, x: taut.Bernoulli(logits).log_density(jnp.array(x))
    sure = jnp.array([jnp.inf, -jnp.inf])
    assert log_density(sure, [1.0, 0.0]) == 0
    assert jnp.exp(log_density(sure, [0.0, 0.0])) == 0
    assert jnp.all(jnp.isfinite(jax.grad(log_density)(sure, [1.0, 0.0])))
