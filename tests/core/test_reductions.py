"""What must hold exactly: the same numbers by another way."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

import taut
from taut.core.checks import particle_keys

K = 7


class Encoder:
    def __call__(self, x):
        return taut.Normal(0.6 * x, jnp.full_like(x, -0.5))


def decoder(z):
    return taut.Normal(z, jnp.full_like(z, -0.7))


def vae(num):
    model = taut.Joint(taut.StandardNormal((2,)), decoder)
    return taut.Marginal(model, lambda x: taut.Importance(Encoder()(x), num))


X = jnp.array([0.7, -0.4])


def by_hand(key, num):
    """IWAE, spelled out with the same draws."""

    def log_weight(key):
        z = Encoder()(X).sample(jr.split(key)[0])
        log_p = norm.logpdf(z).sum() + norm.logpdf(X, z, jnp.exp(-0.7)).sum()
        return log_p - norm.logpdf(z, 0.6 * X, jnp.exp(-0.5)).sum()

    log_weights = jax.vmap(log_weight)(particle_keys(key, num))
    return logsumexp(log_weights) - jnp.log(float(num))


@pytest.mark.parametrize("num", [1, K])
def test_importance_inside_marginal_is_iwae(num):
    for seed in range(5):
        key = jr.key(seed)
        np.testing.assert_allclose(
            vae(num).log_prob(key, X), by_hand(key, num), rtol=1e-12
        )


def test_the_elbo_of_an_induced_guide_is_iwae():
    """Sample by sample: the target's own term cancels."""
    target = taut.Conditioned(vae(1).joint, X)
    sampler = taut.Importance(Encoder()(X), K)
    guide = taut.Induced(target, sampler)
    for seed in range(5):
        key = jr.key(seed)
        z, log_q = guide.sample_and_log_prob(key)
        elbo = target.log_prob(key, z) - log_q
        iwae = sampler.run(jr.split(key)[0], target).log_z
        np.testing.assert_allclose(elbo, iwae, rtol=1e-12)


def test_an_average_of_one_is_itself():
    averaged = taut.Averaged(vae(3), 1)
    keys = jr.split(jr.key(0), 20_000)
    one = jax.jit(jax.vmap(lambda key: averaged.log_prob(key, X)))(keys)
    other = jax.jit(jax.vmap(lambda key: vae(3).log_prob(key, X)))(keys)
    # Other keys, the same law: three quantiles.
    for level in (0.1, 0.5, 0.9):
        below = np.mean(np.asarray(one) < np.quantile(other, level))
        assert abs(below - level) < 5 * (2 * level * (1 - level) / 20_000) ** 0.5


def test_exact_parts_make_exact_wholes():
    model = taut.Joint(taut.StandardNormal((2,)), decoder)
    assert model.exact
    assert model.reparameterised
    assert taut.Conditioned(model, X).exact
    assert taut.Averaged(model, 3).exact
    assert not vae(3).exact
    assert not taut.Joint(vae(3), decoder).exact
    assert not taut.Conditioned(taut.Joint(vae(3), decoder), X).exact
    coins = taut.Joint(taut.Bernoulli(jnp.zeros(2)), decoder)
    assert coins.exact
    assert not coins.reparameterised


def test_an_average_of_exact_values_is_exact():
    """Whatever the number of them."""
    model = taut.Joint(taut.StandardNormal((2,)), decoder)
    event, value = taut.Averaged(model, 4).sample_and_log_prob(jr.key(0))
    np.testing.assert_allclose(value, model.log_prob(jr.key(1), event), rtol=1e-12)


def test_keys_of_particles_do_not_depend_on_their_number():
    few = taut.Importance(Encoder()(X), 3).run(
        jr.key(0), taut.Conditioned(vae(1).joint, X)
    )
    many = taut.Importance(Encoder()(X), 9, chunk=4).run(
        jr.key(0), taut.Conditioned(vae(1).joint, X)
    )
    np.testing.assert_allclose(few.log_weight, many.log_weight[:3], rtol=1e-12)


def test_selected_particles_carry_their_own_estimate():
    particles = taut.Particles(
        jnp.arange(4.0), jnp.arange(4.0) * 10, jnp.array([-jnp.inf, 0.0, 1.0, 2.0])
    )
    values, targets = jax.vmap(particles.select)(jr.split(jr.key(0), 4000))
    np.testing.assert_array_equal(targets, values * 10)
    counts = np.bincount(np.asarray(values, int), minlength=4) / 4000
    assert counts[0] == 0
    np.testing.assert_allclose(counts, particles.probs, atol=0.04)


def test_a_retained_particle_keeps_everything_else():
    particles = taut.Particles(jnp.zeros((3, 2)), jnp.zeros(3), jnp.ones(3))
    kept = particles.retain(1, jnp.ones(2), jnp.array(5.0), jnp.array(7.0))
    np.testing.assert_array_equal(kept.log_weight, [1.0, 7.0, 1.0])
    np.testing.assert_array_equal(kept.log_target, [0.0, 5.0, 0.0])
    np.testing.assert_array_equal(kept.value[:, 0], [0.0, 1.0, 0.0])
