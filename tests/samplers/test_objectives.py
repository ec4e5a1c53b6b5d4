"""Objectives and losses of one example, against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut
from contract import problems as p
from taut import objectives, recipes


def particles(num=4, seed=0):
    sampler = taut.Importance(p.gaussian_guide(), num)
    return sampler.run(jr.key(seed), p.gaussian_target())


def test_bounds():
    found = particles()
    assert jnp.allclose(objectives.elbo(found), jnp.mean(found.log_weight))
    assert objectives.iwae(found) == found.log_z
    assert jnp.allclose(objectives.annealed(found, 1.0), found.log_z)


def test_annealed_and_free_bits():
    """`log mean exp(log p(x|z) - max(beta kl, b))`."""
    found = particles()
    kl = found.log_likelihood - found.log_weight
    assert jnp.any(0.5 * kl < 0.55)
    assert jnp.any(0.5 * kl > 0.55)
    plain = objectives.annealed(found, 0.5)
    by_hand = jax.nn.logsumexp(found.log_likelihood - 0.5 * kl) - jnp.log(4.0)
    assert jnp.allclose(plain, by_hand)
    clipped = objectives.annealed(found, 0.5, 0.55)
    rest = jnp.maximum(0.5 * kl, 0.55)
    by_hand = jax.nn.logsumexp(found.log_likelihood - rest) - jnp.log(4.0)
    assert jnp.allclose(clipped, by_hand)
    tilted = taut.Tilted(p.gaussian_guide(), jnp.sum)
    unknown = taut.Importance(p.gaussian_guide(), 2).run(jr.key(0), tilted)
    with pytest.raises(TypeError, match="needs to know the likelihood"):
        objectives.annealed(unknown, 0.5)


def test_dreg_of_the_annealed_bound():
    """Doubly reparameterised roots use the weights of the bound that is ascended."""
    from contract.cases_samplers import Branches, Reverse

    root = taut.Normal(jnp.array([0.2, -0.1]), jnp.array([0.1, -0.1]))

    def grads(draw):
        def one(key):
            def bound(root):
                sampler = taut.Hierarchical(root, Branches(3), Reverse(), 3, draw=draw)
                return objectives.annealed(sampler.run(key, p.gaussian_target()), 0.4)

            return eqx.filter_grad(bound)(root)

        out = jax.jit(jax.vmap(one))(jr.split(jr.key(0), 40_000))
        return np.concatenate([out.loc, out.log_scale], axis=1)

    a, b = grads(taut.root_reparam), grads(taut.root_dreg)
    z = (a.mean(0) - b.mean(0)) / np.sqrt((a.var(0) + b.var(0)) / len(a))
    assert np.abs(z).max() < 4.5


@pytest.mark.thorough
def test_free_bits_bias_double_reparameterisation():
    """Clipping has a boundary that it leaves out; without clipping it agrees."""
    q = taut.Normal(jnp.array([0.2, -0.1]), jnp.array([-0.4, -0.5]))

    def slopes(draw, free_bits):
        def bound(q, key):
            found = taut.Importance(q, 3, draw).run(key, p.gaussian_target())
            return objectives.annealed(found, 1.0, free_bits)

        one = lambda key: eqx.filter_grad(bound)(q, key).log_scale
        return np.asarray(jax.jit(jax.vmap(one))(jr.split(jr.key(0), 50_000)))

    for free_bits, agree in ((None, True), (0.01, False)):
        a, b = slopes(taut.reparam, free_bits), slopes(taut.dreg, free_bits)
        z = (a.mean(0) - b.mean(0)) / np.sqrt((a.var(0) + b.var(0)) / len(a))
        assert np.abs(z).max() < 4.5 if agree else np.abs(z).min() > 10


def test_posterior_mean_is_fisher():
    """At exact posterior draws its gradient is that of the evidence, on average."""

    class Guide(eqx.Module):
        def __call__(self, x):
            return p.gaussian_posterior(x)

    class Decoder(eqx.Module):
        shift: jax.Array

        def __call__(self, z):
            return taut.Normal(z + self.shift, jnp.full_like(z, 0.5 * jnp.log(p.NOISE)))

    def one(key):
        def objective(decoder):
            joint = taut.Joint(taut.StandardNormal((2,)), decoder)
            target = taut.Conditioned(joint, p.observation())
            found = taut.Importance(Guide()(p.observation()), 3).run(key, target)
            return objectives.posterior_mean(key, target, found)

        return eqx.filter_grad(objective)(Decoder(jnp.zeros(2))).shift

    slopes = np.asarray(jax.jit(jax.vmap(one))(jr.split(jr.key(1), 20_000)))
    truth = np.asarray(p.observation()) / (1 + p.NOISE)  # of log N(x; shift, 1.25)
    error = slopes.std(0) / len(slopes) ** 0.5
    assert np.abs((slopes.mean(0) - truth) / error).max() < 4.5


def table_guide(x):
    return p.other_proposal()


def finite_joint():
    return taut.Joint(p.finite_proposal(), p.finite_rows())


def test_wake_sleep_on_discrete_latents():
    """Both guide phases and the model's, against sums over the four states."""
    joint, x = finite_joint(), jnp.array(1)
    logits = joint.prior.logits

    def loss(parts, key):
        joint, logits = parts
        guide = lambda x: taut.Categorical(logits)
        return recipes.reweighted_wake_sleep_loss(key, joint, guide, 400, x)[0]

    go = eqx.filter_jit(eqx.filter_vmap(eqx.filter_grad(loss), in_axes=(None, 0)))
    model, guide = go((joint, p.other_proposal().logits), jr.split(jr.key(2), 500))
    log_joint = jax.nn.log_softmax(logits) + joint.likelihood.log_density_at(x)
    posterior = jax.nn.softmax(log_joint)
    q, prior = jax.nn.softmax(p.other_proposal().logits), jax.nn.softmax(logits)
    # the guide goes to the posterior, the prior to the posterior; 400 draws, so that
    # self-normalisation is off by less than the tolerance
    assert jnp.allclose(-guide.mean(0), posterior - q, atol=0.005)
    assert jnp.allclose(-model.prior.logits.mean(0), posterior - prior, atol=0.005)


def test_sleep():
    """The guide's slope over dreams: the prior averaged over its own observations."""
    joint = finite_joint()

    def objective(logits, key):
        return objectives.sleep(key, joint, lambda x: taut.Categorical(logits))

    go = jax.jit(jax.vmap(jax.grad(objective), (None, 0)))
    slopes = go(jnp.zeros(4), jr.split(jr.key(3), 20_000))
    truth = jax.nn.softmax(joint.prior.logits) - 0.25
    assert jnp.abs(slopes.mean(0) - truth).max() < 0.015


def test_aiwae_loss():
    """The model's gradient is the posterior mean, the guide's that of its ELBO."""

    class Guide(eqx.Module):
        loc: jax.Array

        def __call__(self, x):
            return taut.Normal(self.loc, jnp.full(2, -0.7))

    def loss(guide, key):
        kernel = taut.HMC(jnp.array(0.3), 3)
        betas = jnp.array([0.5, 1.0])
        return recipes.aiwae_loss(
            key, p.gaussian_joint(), guide, kernel, betas, 2, p.observation()
        )[0]

    guide = Guide(jnp.array([0.3, 0.1]))
    go = eqx.filter_jit(eqx.filter_vmap(eqx.filter_grad(loss), in_axes=(None, 0)))
    slopes = -np.asarray(go(guide, jr.split(jr.key(4), 4000)).loc)
    x = np.asarray(p.observation())
    truth = -np.asarray(guide.loc) + (x - np.asarray(guide.loc)) / p.NOISE
    error = slopes.std(0) / len(slopes) ** 0.5
    assert np.abs((slopes.mean(0) - truth) / error).max() < 4.5
