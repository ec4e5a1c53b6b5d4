"""Coins: values and slopes at any logit, sure ones included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import taut


def log_density(logit, x):
    return taut.Bernoulli(logit).log_density(x)


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_value_and_slopes(x):
    """Against the closed forms."""
    logits = jnp.array([-700.0, -40.0, -1.5, 0.0, 0.3, 40.0, 700.0])
    sign = 2 * x - 1
    value = jax.jit(jax.vmap(log_density, (0, None)))(logits, x)
    assert np.allclose(value, -np.logaddexp(0, -sign * logits), rtol=1e-14)
    slope = jax.jit(jax.vmap(jax.grad(log_density), (0, None)))(logits, x)
    assert np.allclose(slope, sign / (1 + np.exp(sign * logits)), atol=1e-15)
    bend = jax.jit(jax.vmap(jax.grad(jax.grad(log_density)), (0, None)))(logits, x)
    known = -1 / (2 + np.exp(logits) + np.exp(-logits))
    assert np.allclose(bend, known, rtol=1e-12, atol=1e-15)


def test_sure_coins():
    sure = taut.Bernoulli(jnp.array([jnp.inf, -jnp.inf]))
    both = jax.jit(jax.value_and_grad(lambda q, x: q.log_density(x), allow_int=True))
    value, slope = both(sure, jnp.array([1.0, 0.0]))
    assert value == 0
    assert np.all(np.asarray(slope.logits) == 0)
    assert both(sure, jnp.array([1.0, 1.0]))[0] == -jnp.inf


def test_what_is_no_coin_has_no_density():
    coins = taut.Bernoulli(jnp.zeros(2))
    assert coins.log_density(jnp.array([1.0, 0.5])) == -jnp.inf
    assert jnp.isnan(coins.log_density(jnp.array([1.0, jnp.nan])))
    assert jnp.isnan(coins.log_density(jnp.array([0.5, jnp.nan])))


def test_slope_along_relaxed_coins():
    """`x l - softplus(l)` is linear in x: what straight-through draws go along."""
    slope = jax.jit(jax.grad(log_density, 1))
    for logit in (-jnp.inf, -3.0, 2.5):
        for x in (0.0, 1.0):
            assert slope(jnp.asarray(logit), jnp.asarray(x)) == logit
    for first, second in ((0, 1), (1, 0)):
        mixed = jax.jit(jax.grad(jax.grad(log_density, first), second))
        assert jnp.allclose(mixed(jnp.array(2.5), jnp.array(1.0)), 1.0)


def test_logits_may_be_integers():
    coins = taut.Bernoulli(jnp.array([0, 3]))
    assert jnp.issubdtype(coins.logits.dtype, jnp.floating)
    assert jnp.isfinite(coins.log_density(jnp.array([1, 0])))
