"""Annealed training: what each phase follows, and the step sizes it carries."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from taut import schedules
from taut.core.combine import Conditioned
from taut.core.gradient import stop
from taut.densities.normal import Normal, StandardNormal
from taut.objectives import wake
from taut.papers.annealed import AIS, IWAE, MHHMC, PRESETS, AnnealedVAE, Persistent
from taut.papers.annealed.guides import Doubly, ForwardKL
from taut.papers.annealed.persistent import Numbered, numbered
from taut.papers.annealed.spacing import Geometric, Sigmoid
from taut.papers.experiment import Splits
from taut.papers.latent import LatentModel
from taut.samplers.importance import Importance
from taut.train import EXAMPLES, Context, fit
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


def gradient_of(phase, model, context, x):
    loss = lambda m: phase.loss(m, context, x)[0]
    return eqx.filter_jit(eqx.filter_grad(loss))(model)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.name)
def test_every_row_has_a_step_that_traces(preset, float32):
    settings = dataclasses.replace(preset.budgets["full"], latent=2)
    xs = jnp.asarray(splits().train)
    if settings.inference.numbered:
        inference = dataclasses.replace(settings.inference, latent=2, examples=8)
        settings = dataclasses.replace(settings, inference=inference)
        xs = Numbered(xs, jnp.arange(8))
    model = settings.make(jr.key(0), splits())
    context = Context(jr.key(1), jr.key(2), jnp.int32(0), settings.state())
    for phase in settings.phases():
        assert any(jax.tree.leaves(trainable(phase, model)))
        one = lambda m, x, p=phase: p.loss(m, context, x)
        batch = jax.vmap(one, (None, 0), axis_name=EXAMPLES)
        loss, aux = eqx.filter_eval_shape(batch, model, xs)
        assert loss.shape == (8,)
        assert all(name in aux for name in ("acceptance",) if phase.update)


def test_the_decoder_follows_the_ends_and_the_guide_its_own_bound():
    settings, model, context = setting(AIS(num=3, temperatures=3, leapfrogs=2))
    x = jnp.asarray(splits().train[0], float)
    decoder, guide = settings.phases()
    gradient = lambda p: gradient_of(p, model, context, x)
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

    expected = eqx.filter_jit(eqx.filter_grad(held))(model).likelihood
    for a, b in zip(jax.tree.leaves(of_decoder.likelihood), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_chains_of_mhhmc_weigh_the_same():
    settings, model, context = setting(MHHMC(4, AIS(temperatures=3, leapfrogs=2)))
    x = jnp.asarray(splits().train[0], float)
    loss, aux = eqx.filter_jit(settings.phases()[0].loss)(model, context, x)
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


def test_schedules_and_guides_are_settings(float32):
    sigmoid = AIS(2, temperatures=4, leapfrogs=2, schedule=Sigmoid())
    plain = dataclasses.replace(sigmoid, schedule=None)
    x = jnp.asarray(splits().train[0])
    values = []
    for how in (plain, sigmoid, dataclasses.replace(plain, schedule=Geometric(0.1))):
        settings, model, context = setting(how)
        loss = eqx.filter_jit(settings.phases()[0].loss)
        values.append(float(loss(model, context, x)[0]))
    assert len(set(values)) == 3
    for how in (Sigmoid(3.0), Geometric(0.01)):
        assert how(7).shape == (7,)
    np.testing.assert_allclose(Sigmoid(3.0)(7), schedules.sigmoid(7, 3.0))


def test_a_guide_by_forward_kl_follows_the_ends():
    how = AIS(3, temperatures=3, leapfrogs=2, guide=ForwardKL())
    settings, model, context = setting(how)
    x = jnp.asarray(splits().train[0], float)
    (phase,) = settings.phases()
    found = gradient_of(phase, model, context, x)

    def held(model):
        particles = how._run(model, context, x, schedules.linear(2))
        return -wake(context.key, model.guide(x), stop(particles))

    expected = eqx.filter_jit(eqx.filter_grad(held))(model)
    for a, b in zip(jax.tree.leaves(found.guide), jax.tree.leaves(expected.guide)):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    # The decoder's gradient is what it is with the guide on its own bound.
    plain = dataclasses.replace(how, guide=None).phases(optax.sgd(1.0))[0]
    other = gradient_of(plain, model, context, x).likelihood
    for a, b in zip(jax.tree.leaves(found.likelihood), jax.tree.leaves(other)):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_a_guide_by_dreg_has_its_gradient():
    how = AIS(3, temperatures=3, leapfrogs=2, guide=Doubly(4))
    settings, model, context = setting(how)
    x = jnp.asarray(splits().train[0], float)
    found = gradient_of(settings.phases()[1], model, context, x)
    whole = gradient_of(IWAE(4).phases(optax.sgd(1.0))[0], model, context, x)
    for a, b in zip(jax.tree.leaves(found.guide), jax.tree.leaves(whole.guide)):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(found.likelihood))


# Chains that are kept.


class Shifted(eqx.Module):
    """`x ~ N(z + b, 0.5)`, with posterior `N(2/3 (x - b), 1/3)`."""

    shift: jax.Array

    def __call__(self, z):
        return Normal(z + self.shift, jnp.full(1, 0.5 * jnp.log(0.5)))


class Wide(eqx.Module):
    loc: jax.Array

    def __call__(self, x):
        return Normal(self.loc, jnp.zeros(1))


def test_kept_chains_reach_the_posterior_and_are_their_own():
    """With nothing learned, the ends of many visits are posterior draws."""
    num = 500
    chains = AIS(temperatures=3, leapfrogs=3, step_size=0.3)
    how = Persistent(num, chains, examples=6, latent=1)
    shift, loc = jnp.zeros(1), jnp.full(1, -3.0)
    model = LatentModel(StandardNormal((1,)), Shifted(shift), Wide(loc))
    x = np.linspace(-2, 2, 6)[:, None]
    data = Numbered(jnp.asarray(x), jnp.arange(6))
    found = fit(
        jr.key(0),
        model,
        how.phases(optax.sgd(0.0)),
        data,
        state=how.state(),
        steps=2,
        batch_size=2,
    )
    seen = np.all(np.isfinite(found.state.ends), axis=(1, 2))
    assert seen.sum() == 4  # two steps of two examples; the others wait
    found = fit(
        jr.key(0),
        model,
        how.phases(optax.sgd(0.0)),
        data,
        state=how.state(),
        steps=60,
        batch_size=2,
    )
    ends = np.asarray(found.state.ends)[..., 0]
    error = np.sqrt(1 / 3 / num)
    assert np.all(np.abs(ends.mean(1) - 2 / 3 * x[:, 0]) < 4.5 * error)
    spread = ends.var(1) / (1 / 3)
    assert np.all(np.abs(spread - 1) < 4.5 * np.sqrt(2 / num))


def test_kept_chains_go_on_where_they_were_left():
    how = Persistent(2, AIS(temperatures=2, leapfrogs=1, step_size=1e-3), 6, 1)
    model = LatentModel(StandardNormal((1,)), Shifted(jnp.zeros(1)), Wide(jnp.zeros(1)))
    kept = eqx.tree_at(lambda k: k.ends, how.state(), jnp.full((6, 2, 1), 40.0))
    context = Context(jr.key(1), jr.key(2), jnp.int32(0), kept)
    ends = how._visit(model, context.key, jnp.zeros(1), kept, kept.ends[3])
    assert jnp.all(jnp.abs(ends.value - 40) < 0.5)
    with pytest.raises(ValueError, match="Expected the ends of 2 chains in 1 dim"):
        how._visit(model, context.key, jnp.zeros(1), kept, jnp.zeros((3, 1)))


def test_numbered_examples_are_what_they_were():
    grey = np.random.RandomState(0).randint(0, 256, (300, 3, 3)).astype(np.uint8)
    prepare = lambda key, x: (x / 255 > jr.uniform(key, x.shape)).astype(jnp.float32)
    plain = Splits(grey, None, grey, digest="made", prepare=prepare, mean=grey.mean(0))
    packed = numbered(plain)
    keys = jr.split(jr.key(0), 300)
    found = jax.vmap(packed.prepare)(keys, packed.train)
    assert np.array_equal(found.row, np.arange(300))
    assert np.array_equal(found.image, jax.vmap(prepare)(keys, grey))
    assert packed.valid.shape == (300, 3, 3)
    with pytest.raises(TypeError, match="grey bytes"):
        numbered(splits())
