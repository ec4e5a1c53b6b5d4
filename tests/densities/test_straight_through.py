"""Straight-through Gumbel coins."""

import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import taut
from taut.densities.straight_through import relaxed_coins


def model():
    """Coins that explain a Gaussian observation."""
    decoder = lambda z: taut.Normal(jnp.array([1.0, -0.5]) @ z, jnp.zeros(()))
    return taut.Joint(taut.Bernoulli(jnp.zeros(2)), decoder)


def test_hard_values_soft_slopes(getkey):
    logits, key = jnp.array([0.5, -1.0, 3.0]), getkey()
    coins = relaxed_coins(key, logits, 0.7)
    assert jnp.all((coins == 0) | (coins == 1))
    noisy = logits + jr.logistic(key, (3,))
    soft = jax.nn.sigmoid(noisy / 0.7)
    slope = jax.jacrev(lambda logits: relaxed_coins(key, logits, 0.7))(logits)
    assert jnp.allclose(slope, jnp.diag(soft * (1 - soft) / 0.7))
    with pytest.raises(ValueError, match="temperature must be positive"):
        relaxed_coins(key, logits, 0.0)


def test_law_of_the_coins(getkey):
    logits = jnp.array([0.5, -1.0])
    draw = lambda key: relaxed_coins(key, logits, 0.7)
    mean = jnp.mean(jax.vmap(draw)(jr.split(getkey(), 20_000)), 0)
    assert jnp.all(jnp.abs(mean - jax.nn.sigmoid(logits)) < 5 * 0.5 / 20_000**0.5)


def test_as_a_draw(getkey):
    """The bound is unbiased in value, and the proposal hears of it."""
    target = taut.Conditioned(model(), jnp.array(0.4))
    states = jnp.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    log_z = jax.nn.logsumexp(jax.vmap(lambda z: target.log_prob(getkey(), z))(states))

    def bound(logits, key):
        sampler = taut.Importance(taut.Bernoulli(logits), 3, draw=taut.straight_through)
        return sampler.run(key, target).log_z

    logits = jnp.array([0.3, -0.2])
    values = jax.jit(jax.vmap(bound, (None, 0)))(logits, jr.split(getkey(), 4000))
    weights = jnp.exp(values - log_z)
    assert abs(jnp.mean(weights) - 1) < 5 * jnp.std(weights) / 4000**0.5
    assert jnp.all(jax.jit(jax.grad(bound))(logits, getkey()) != 0)


def test_refusals(getkey):
    target = taut.Conditioned(model(), jnp.array(0.4))
    sampler = taut.Importance(taut.StandardNormal((2,)), 3, draw=taut.straight_through)
    with pytest.raises(TypeError, match="expected a Bernoulli proposal"):
        sampler.run(getkey(), target)
