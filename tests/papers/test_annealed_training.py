"""Annealed training: what each phase follows, and the step sizes it carries."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from taut.core.combine import Conditioned
from taut.papers.annealed import AIS, IWAE, MHHMC, PRESETS, AnnealedVAE
from taut.papers.experiment import Splits
from taut.samplers.importance import Importance
from taut.train import Context, fit
from taut.train.phase import trainable


def splits(num=8):
    x = (np.random.RandomState(0).rand(num, 3, 3) < 0.4).astype(np.float32)
    return Splits(x, None, x, digest="made", mean=x.mean(0))


def experiment(inference):
    return AnnealedVAE(steps=100, inference=inference, latent=2)


def setting(inference):
    settings = experiment(inference)
    model = settings.make(jr.key(0), splits())
    context = Context(jr.key(1), jr.key(2), jnp.int32(0), settings.state())
    return settings, model, context


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_every_row_has_a_step_that_traces(preset, float32):
    settings = dataclasses.replace(preset.budgets["full"], latent=2)
    model = settings.make(jr.key(0), splits())
    context = Context(jr.key(1), jr.key(2), jnp.int32(0), settings.state())
    for phase in settings.phases():
        assert any(jax.tree.leaves(trainable(phase, model)))
        one = lambda m, p=phase: p.loss(m, context, jnp.asarray(splits().train[0]))
        loss, aux = eqx.filter_eval_shape(one, model)
        assert loss.shape == ()
        assert all(name in aux for name in ("acceptance",) if phase.update)


def test_the_decoder_follows_the_ends_and_the_guide_its_own_bound():
    settings, model, context = setting(AIS(num=3, temperatures=3, leapfrogs=2))
    x = jnp.asarray(splits().train[0], float)
    decoder, guide = settings.phases()
    gradient = lambda p: eqx.filter_grad(lambda m: p.loss(m, context, x)[0])(model)
    largest = lambda tree: max(
        float(jnp.max(jnp.abs(leaf)))
        for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    )
    of_decoder, of_guide = gradient(decoder), gradient(guide)
    # No gradient reaches the guide through the chains it starts, nor the decoder
    # through the bound of the guide.
    assert largest(of_decoder.guide) == 0
    assert largest(of_decoder.likelihood) > 0
    assert largest(of_guide.likelihood) == 0
    assert largest(of_guide.guide) > 0

    # Fisher's identity at the ends: weights and ends held.
    def held(model):
        inference = settings.inference
        betas = jnp.array([0.5, 1.0])
        particles = inference._run(model, context, x, betas)
        z = jax.lax.stop_gradient(particles.value)
        probs = jax.lax.stop_gradient(particles.probs)
        score = lambda z: model.joint.log_prob(jr.key(0), (z, x))
        return -jnp.sum(probs * jax.vmap(score)(z))

    expected = eqx.filter_grad(held)(model).likelihood
    for a, b in zip(jax.tree.leaves(of_decoder.likelihood), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_chains_of_mhhmc_weigh_the_same():
    settings, model, context = setting(MHHMC(4, AIS(temperatures=3, leapfrogs=2)))
    x = jnp.asarray(splits().train[0], float)
    loss, aux = settings.phases()[0].loss(model, context, x)
    np.testing.assert_allclose(-loss, aux["joint"])
    assert aux["acceptance"].shape == (2,)


def test_one_importance_sample_is_the_bound_of_the_guide():
    settings, model, context = setting(IWAE(1))
    x = jnp.asarray(splits().train[0], float)
    loss, _ = settings.phases()[0].loss(model, context, x)
    sampler = Importance(model.guide(x))
    bound = sampler.run(context.key, Conditioned(model.joint, x)).log_z
    np.testing.assert_allclose(-loss, bound, rtol=1e-6)


def test_step_sizes_are_carried_and_follow_the_rule(float32):
    settings = experiment(AIS(num=2, temperatures=4, leapfrogs=2))
    result = fit(
        jr.key(0),
        settings.make(jr.key(1), splits()),
        settings.phases(),
        jnp.asarray(splits().train),
        state=settings.state(),
        steps=5,
        batch_size=4,
    )
    start = np.asarray(settings.state())
    # Five factors of 1.002 or 0.998 each, and no others.
    ups = np.log(np.asarray(result.state) / start)
    counts = (ups - 5 * np.log(0.998)) / np.log(1.002 / 0.998)
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-2)
    assert result.state.shape == (3,)
    assert optax.tree.norm(eqx.filter(result.params, eqx.is_inexact_array)) > 0
