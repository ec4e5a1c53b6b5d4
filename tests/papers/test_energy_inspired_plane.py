"""The energy papers' laws in the plane, and ranking, against known truths."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.special import expit

import taut
from taut import information
from taut.core.density import AbstractDensity
from taut.papers.energy_inspired import mutual, quadrature, ranking
from taut.papers.energy_inspired.laws import HIS, LARS, SNIS, TRS, PublishedTRS
from taut.papers.energy_inspired.plane import Plane
from taut.train import Context

# Truths in the plane -----------------------------------------------------------------


def first(x):
    """An energy of the first coordinate alone: the sheet's, with one more dimension."""
    return x[0]


def known(value, x):
    return value - 0.5 * x[1] ** 2 - 0.5 * np.log(2 * np.pi)


POINTS = np.array([[-1.0, 0.3], [0.0, -0.5], [1.0, 0.0]])


def test_quadrature_of_snis():
    model = taut.SelfNormalized(taut.StandardNormal((2,)), first, 2)
    found = quadrature.log_density(model, 1.0, jnp.asarray(POINTS))
    truth = [known(v, x) for v, x in zip((-1.08714, -0.91894, -1.91894), POINTS)]
    np.testing.assert_allclose(found, truth, atol=2e-5)


@pytest.mark.thorough
def test_quadrature_of_snis_with_far_weights():
    """One weight far above all others: nearly K times the proposal's density."""
    steep = lambda x: 20.0 * x[0]
    model = taut.SelfNormalized(taut.StandardNormal((2,)), steep, 2)
    xs = jnp.array([[-3.0, 0.2], [0.5, 0.0]])
    z = np.linspace(-9, 9, 20_001)
    weight = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    # w / (w + w_2) = sigmoid(20 (z_2 - x)).
    chance = [weight @ expit(20 * (z - x)) for x in xs[:, 0]]
    truth = np.log(2 * np.array(chance)) + jax.scipy.stats.norm.logpdf(xs).sum(1)
    found = quadrature.log_density(model, 1.0, xs)
    np.testing.assert_allclose(found, truth, atol=5e-3)


def test_quadrature_of_rejection():
    model = taut.TruncatedRejection(taut.StandardNormal((2,)), first, 5)
    found = quadrature.log_density(model, 1.0, jnp.asarray(POINTS[1:]))
    truth = [known(v, x) for v, x in zip((-0.91894, -1.98675), POINTS[1:])]
    np.testing.assert_allclose(found, truth, atol=2e-5)


def test_quadrature_of_his():
    """Without an energy the position drifts: N(0, 1 + (T eps)^2)."""
    law = HIS(2, alpha=1.0)
    model = law.build(taut.StandardNormal((2,)), lambda key: jnp.sum, key=jr.key(0))
    where = lambda model: model.hamiltonian.energy
    model = eqx.tree_at(where, model, lambda x: 0.0 * jnp.sum(x))
    wide = eqx.filter_jit(
        lambda xs: jax.vmap(
            taut.Normal(jnp.zeros(2), jnp.full(2, 0.5 * jnp.log(1.25))).log_density
        )(xs)
    )
    xs = jnp.asarray(POINTS)
    found = quadrature.log_density(model, 1.0, xs)
    np.testing.assert_allclose(found, wide(xs), atol=1e-3)


def test_rotations_are_unbiased(getkey):
    """The mean over orders of the same proposals estimates the exact density."""
    law = TRS(5)
    model = law.build(taut.StandardNormal((2,)), lambda key: first, key=getkey())

    @jax.jit
    def estimates(keys):
        one = lambda key: law.shared(model, None, key).log_prob(key, POINTS[2])
        return jnp.exp(jax.vmap(one)(keys))

    found = estimates(jr.split(getkey(), 40_000))
    truth = np.exp(known(-1.98675, POINTS[2]))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 4 * error
    assert error < 2e-3 * truth  # the test can see an error


def test_lars_settles_on_the_rate(getkey):
    law = LARS(num=5, evaluation_draws=100_000)
    model = law.build(taut.StandardNormal((2,)), lambda key: first, key=getkey())
    rate, told = law.settle(getkey(), model, law.state())
    assert abs(rate - 0.5) < 4 * told["acceptance_se"] < 0.01
    density = law.density(model, jnp.array(0.5), lambda model: model)
    assert not isinstance(density, AbstractDensity)  # so no upper end is computed
    score = density.log_prob(getkey(), jnp.asarray(POINTS[2]))
    np.testing.assert_allclose(score, known(-1.98675, POINTS[2]), atol=2e-5)


def test_published_trs_is_evaluated_as_the_same_law(getkey):
    law, key = PublishedTRS(5), getkey()
    model = law.build(taut.StandardNormal((2,)), lambda key: first, key=key)
    target, _ = law.aim(model, None, key)
    loss = target.log_prob(key, POINTS[2])
    assert loss < known(-1.98675, POINTS[2]) + 0.5
    evaluated = law.density(model, None, lambda model: model)
    assert isinstance(evaluated, taut.TruncatedRejection)


# Ranking -----------------------------------------------------------------------------


def test_ranking_nce_is_the_snis_bound(getkey):
    """Up to `log pi`, which knows nothing of the score."""
    params, num = jnp.array([0.5, -0.2]), 4
    xs = jr.normal(getkey(), (3,))
    key = getkey()
    noise = jax.vmap(lambda k: taut.StandardNormal((1,)).sample(k))(
        taut.core.checks.particle_keys(key, num - 1)
    )[:, 0]
    energy = lambda x: ranking.energy(params, x[0])
    proposal = taut.StandardNormal((1,))
    model = taut.SelfNormalized(proposal, energy, num)
    loss = ranking.ranking_loss(params, xs, jnp.broadcast_to(noise, (3, num - 1)))
    ratios = jax.vmap(lambda x: model.log_ratio(key, x[None]))(xs)
    np.testing.assert_allclose(-loss, jnp.mean(ratios), rtol=1e-12)


def test_noise_may_be_learned(getkey):
    """The same bound moves the proposal, through its points and through `log pi`."""
    settings = Plane(steps=1, law=SNIS(8), learned=True)
    model = settings.make(getkey(), None)
    (phase,) = settings.phases()
    context = Context(getkey(), getkey(), jnp.int32(0), None)
    loss = lambda model: phase.loss(model, context, jnp.array([1.0, 2.0]))[0]
    slope = eqx.filter_jit(eqx.filter_grad(loss))(model).proposal
    assert jnp.all(slope.loc < 0)  # towards the point
    fixed = replace(settings, learned=False).make(getkey(), None)
    assert not jax.tree.leaves(fixed.proposal)


def test_ranking_nce_is_consistent(float32):
    """K = 2, a well-specified score: errors fall like one over the root of n."""
    few, many = (float(ranking.errors(jr.key(0), n, 2, 16)) for n in (100, 1600))
    assert many < few / 2
    assert many < 0.1


@pytest.mark.thorough
def test_what_critics_learn(float32):
    """The best one has a square of `x`: a bilinear critic cannot have it."""
    joint, truth = information.correlated_gaussians(mutual.RHO, mutual.DIM)
    found = mutual.measured(joint, 8, 500)
    best, upper = found["best critic"], found["upper (leave-one-out)"]
    for name in ("separable critic", "free critic"):
        assert best.value - 0.15 < found[name].value < best.value + 4 * best.se
    assert found["bilinear critic"].value < best.value - 0.3
    assert best.value < min(truth, np.log(8))
    assert upper.value > truth
