"""Buffered SVI: one row trains and has two ends; its steps are those of the paper."""

import math
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from buffered_fixture import SIDE, little, one_step, splits

import taut
from taut.papers.buffered.further import (
    AdaptedBSVI,
    IterativeBSVI,
    NaturalBSVI,
    SemiAmortised,
)
from taut.papers.buffered.inference import (
    BSVI,
    SVI,
    Amortised,
    Rules,
    bounds_on_the_way,
)
from taut.papers.buffered.model import law
from taut.train import EXAMPLES, fit


def made_model(settings, images=None):
    images = splits() if images is None else images
    return eqx.filter_jit(lambda key: settings.make(key, images))(jr.key(1))


def trained(settings, images, **kwargs):
    made = splits() if images is None else images
    return fit(
        jr.key(0),
        made_model(settings, made),
        settings.phases(),
        jnp.asarray(made.train),
        state=settings.state(),
        steps=settings.steps,
        batch_size=settings.batch_size,
        prepare=made.prepare,
        **kwargs,
    )


def test_training(float32):
    """Four steps on made images; then the paper's numbers, image by image."""
    settings = little(BSVI(2, learned=True, indices=1))
    result = trained(settings, None, report_every=1)
    seen = [row for row in result.history if "bound" in row]
    assert len(seen) == 4
    assert all(np.isfinite(list(row.values())).all() for row in seen)
    moments = jax.tree.leaves(result.state)
    assert all(np.isfinite(m).all() for m in moments)
    assert not jnp.allclose(moments[1], 1.0)  # running statistics moved

    numbers = lambda start: list(
        settings.examination.numbers(
            jr.key(2), result.params, result.state, Rules(), splits().test,
            block=2, start=start,
        )
    )  # fmt: skip
    first, second = numbers(0)
    assert np.allclose(first.elbo, -(first.kl + first.reconstruction), atol=1e-4)
    assert first.importance.shape == (2, 2)
    assert np.all(np.asarray(first.buffered) < 0)
    # It goes on where it stopped: image by image the same numbers.
    (again,) = numbers(2)
    assert jax.tree.all(jax.tree.map(np.array_equal, again, second))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "inference",
    [
        Amortised(2),
        SVI(2, scratch=True),
        BSVI(2, learned=True, indices=1),
        BSVI(2, double=True, indices=2),
        NaturalBSVI(2, 0.05),
        IterativeBSVI(2, 5),
        AdaptedBSVI(2),
        SemiAmortised(2),
    ],
)
def test_both_ends(inference, float32):
    """Every inference trains, and its model has the two ends and its own bound."""
    settings = little(inference)
    result = trained(settings, None)
    density = settings.density(result.params, result.state)
    x, above = eqx.filter_jit(density.sample_and_log_prob)(jr.key(5))
    aimed = settings.shared(result.params, result.state, jr.key(0))
    below = eqx.filter_jit(aimed.log_prob)(jr.key(6), x)
    assert x.shape == SIDE
    assert set(np.unique(x)) <= {0.0, 1.0}
    # Neither is the evidence, but of these 64 coins both are within reason.
    assert -70 < below < -20
    assert -70 < above < -20
    own = settings.validated(result.params, result.state, jr.key(0))
    assert np.isfinite(eqx.filter_jit(own.log_prob)(jr.key(6), x))


@pytest.mark.parametrize(
    "inference",
    [IterativeBSVI(1, 5), pytest.param(AdaptedBSVI(1), marks=pytest.mark.thorough)],
)
def test_what_is_learned_of_the_steps(inference, float32):
    """It follows the bound of its own steps."""
    settings = little(inference)
    step, xs = one_step(settings, num=2)
    xs = xs.at[:, ::2].set(1.0)
    _, _, _, slope = eqx.filter_jit(step)(jr.key(0), xs)
    leaves = jax.tree.leaves(eqx.filter(slope.learned, eqx.is_array))
    assert all(jnp.isfinite(leaf).all() for leaf in leaves)
    assert any(jnp.abs(leaf).max() > 1e-6 for leaf in leaves)


def test_steps_of_the_paper():
    """Rate 1 on the gradient of a mean over 50, clipped at 1 / sqrt(50) each: the same
    as our rate 1/50 and norm sqrt(50) on the gradient of one image.
    """
    rules = Rules()
    slope = {"loc": jnp.array([300.0, 400.0]), "log_variance": jnp.array([3.0, 4.0])}
    theirs = jax.tree.map(lambda g: g / 50, slope)
    norm = lambda g: jnp.linalg.norm(g)
    theirs = jax.tree.map(lambda g: g * jnp.minimum(1.0, 50**-0.5 / norm(g)), theirs)
    ours = jax.tree.map(lambda g: rules.step_size * g, rules.clip(slope))
    assert jax.tree.all(jax.tree.map(jnp.allclose, ours, theirs))
    assert jnp.allclose(ours["log_variance"], jnp.array([3.0, 4.0]) / 50)
    # As published, the norm is that of the batch's mean.
    batch = jnp.stack([jnp.full(2, 100.0)] * 50)
    whole = replace(rules, whole_batch=True).clip
    moved = rules.step_size * jax.vmap(whole, axis_name=EXAMPLES)(batch)
    assert jnp.linalg.norm(moved) == pytest.approx(1.0)


def gaussian_target():
    likelihood = lambda z: taut.Normal(z, jnp.zeros(1))
    return taut.Conditioned(
        taut.Joint(taut.StandardNormal((1,)), likelihood), jnp.array([1.5])
    )


@pytest.mark.parametrize("closed_kl", [False, True])
def test_steps_move_the_log_variance(closed_kl):
    """One step by hand: along the gradient with respect to the log of the variance."""
    q, target = law((jnp.array([0.5]), jnp.array([-0.2]))), gaussian_target()
    assert jnp.allclose(q.log_variance, -0.4)
    rules = Rules(closed_kl=closed_kl)
    sampler = BSVI(1).sampler(q, taut.EqualWeights(), rules, None)

    def climbed(loc, log_variance, noise):
        z = loc + jnp.exp(log_variance / 2) * noise
        if closed_kl:
            divergence = (loc**2 + jnp.exp(log_variance) - 1 - log_variance) / 2
            log_likelihood = target.joint.likelihood(z).log_density(target.x)
            return log_likelihood - jnp.sum(divergence)
        log_q = taut.LogVarianceNormal(loc, log_variance).log_density(z)
        return target.log_prob(jr.key(0), z) - log_q

    @eqx.filter_jit
    def both(key):
        particles = sampler.run(key, target)
        noise = q.to_noise(particles.value[0])
        slopes = jax.grad(climbed, (0, 1))(q.loc, q.log_variance, noise)
        return particles.diagnostics.proposal, slopes

    last, slopes = both(jr.key(0))
    assert jnp.allclose(last.loc[1], q.loc + slopes[0] / 50)
    assert jnp.allclose(last.log_variance[1], q.log_variance + slopes[1] / 50)


def test_diverging_steps_are_counted():
    """A rate beyond all numbers: no step is taken, each is counted, the bound holds."""
    q, inference = law((jnp.array([0.5]), jnp.array([-0.2]))), BSVI(3)
    wild = Rules(rate=math.inf)
    sampler = inference.sampler(q, taut.EqualWeights(), wild, None)
    particles = eqx.filter_jit(sampler.run)(jr.key(0), gaussian_target())
    told = bounds_on_the_way(particles, sampler.weights)
    assert told["rejected"] == 3
    assert jnp.isfinite(told["bound"])
    assert jnp.all(particles.diagnostics.proposal.loc == 0.5)


@pytest.mark.thorough
def test_diverging_steps_are_counted_image_by_image(float32):
    """In the evaluation: every image says how many of its steps were refused."""
    settings = little(BSVI(1))
    model, state = made_model(settings), settings.state()

    def refused(rate):
        rules = Rules(rate=rate)
        images = splits().test
        blocks = settings.examination.numbers(jr.key(2), model, state, rules, images)
        (numbers,) = blocks
        assert np.isfinite(numbers.buffered).all()
        return np.asarray(numbers.rejected)

    assert np.array_equal(refused(math.inf), np.full(4, 3))
    assert np.array_equal(refused(1.0), np.zeros(4))
