"""Unlike, dependent and hierarchical proposals: reductions and marginals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from multiple_fixture import run

import taut
from contract import problems as p
from contract.cases_samplers import (
    Branches,
    Reverse,
    correlated,
    hierarchical,
    near,
    unlike,
)
from taut import recipes


def test_power_zero_is_equal():
    """And `FixedWeights` of equal numbers, to rounding."""
    weights = (
        taut.EqualWeights(),
        taut.PowerWeights(0.0),
        taut.FixedWeights((1 / 3,) * 3),
        taut.SoftmaxWeights(jnp.zeros(3)),
        taut.NetworkWeights(lambda z: jnp.zeros(3)),
    )
    results = [run(taut.MultipleImportance(unlike(), w)).log_weight for w in weights]
    for result in results[1:]:
        assert jnp.allclose(result, results[0], atol=1e-12)


@pytest.mark.parametrize(
    "weights",
    [
        taut.EqualWeights(),
        taut.FixedWeights(np.array([0.2, 0.5, 0.3])),
        taut.SoftmaxWeights(jnp.array([1.0, 2.0, 300.0])),
        *(taut.PowerWeights(a) for a in (0.0, 1.0, 3.0, 1e6, 3e38)),
        taut.NetworkWeights(lambda z: 100 * z),
    ],
    ids=str,
)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_weights_add_up(weights, scale, getkey):
    """At every point, in single precision, gradients finite."""
    log_densities = scale * jr.normal(getkey(), (3,), jnp.float32)

    def log_pi(log_densities):
        return weights(3, log_densities, log_densities)

    assert jnp.allclose(jnp.sum(jnp.exp(log_pi(log_densities))), 1.0, rtol=1e-5)
    first = lambda log_densities: jnp.exp(log_pi(log_densities))[0]
    assert jnp.isfinite(jax.grad(first)(log_densities)).all()


def test_one_proposal_is_importance():
    """K = 1: the same law, weight by weight."""
    q = near(0.1, 1.2)
    particles = run(taut.MultipleImportance([q], taut.PowerWeights(2.0)))
    log_q = q.log_density(particles.value[0])
    assert jnp.allclose(particles.log_z, particles.log_target[0] - log_q)


def test_balance_is_a_mixture():
    """Exponent 1: every weight is target over mixture density."""
    particles = run(taut.MultipleImportance(unlike(), taut.PowerWeights(1.0)))
    mixture = jax.vmap(
        lambda z: jax.nn.logsumexp(jnp.stack([q.log_density(z) for q in unlike()]))
    )(particles.value) - jnp.log(3.0)
    assert jnp.allclose(particles.log_weight, particles.log_target - mixture)


def test_log_z_is_the_weighted_sum():
    """`log_z` is the log of `sum_j pi_j w_j`."""
    probs = (0.5, 0.3, 0.2)
    particles = run(taut.MultipleImportance(unlike(), taut.FixedWeights(probs)))
    zs = particles.value
    log_q = jnp.stack([q.log_density(z) for q, z in zip(unlike(), zs)])
    ratio = jnp.exp(particles.log_target - log_q)
    assert jnp.allclose(jnp.exp(particles.log_z), jnp.asarray(probs) @ ratio)


def test_dependent_marginals_and_conditionals():
    """Every marginal is its own; the correlations are as built; and a point drawn and
    then held gives back the joint law."""
    proposals = correlated()
    keys = jr.split(jr.key(1), 40_000)
    zs, _ = jax.jit(jax.vmap(proposals.sample_and_log_prob))(keys)

    def again(key):
        jkey, zkey, ckey = jr.split(key, 3)
        j = jr.randint(jkey, (), 0, 3)
        q = jax.tree.map(lambda a: a[j], proposals.marginals)
        return proposals.conditional(ckey, j, q.sample(zkey))[0]

    held = jax.jit(jax.vmap(again))(keys)
    for draws in (np.asarray(zs), np.asarray(held)):
        loc, log_scale = map(
            np.asarray, (proposals.marginals.loc, proposals.marginals.log_scale)
        )
        noise = (draws - loc) / np.exp(log_scale)
        assert np.abs(noise.mean(0)).max() < 0.025
        for d in range(2):
            found = noise[:, :, d].T @ noise[:, :, d] / len(noise)
            assert np.abs(found - proposals.correlation).max() < 0.03
        assert np.abs(noise[:, 0, 0] @ noise[:, 1, 1] / len(noise)) < 0.025


def test_antithetic_pairs():
    q = near(0.1, 1.2)
    particles = run(taut.MultipleImportance(taut.Antithetic(q, 2)))
    assert jnp.allclose(particles.value[:2] + particles.value[2:], 2 * q.loc[None])


def test_antithetic_reduces_variance():
    """On an odd function of the noise, nearly all of it."""
    q = near(0.0, 1.1)
    keys = jr.split(jr.key(0), 4000)
    mean = lambda proposals: jax.vmap(
        lambda key: jnp.mean(proposals.sample_and_log_prob(key)[0])
    )(keys)
    assert jnp.std(mean(taut.Antithetic(q))) < 1e-6 * jnp.std(
        mean(taut.Separate((q, q)))
    )


def test_hierarchical_without_hierarchy_is_iwae():
    """Branches that ignore the root, all alike, and the root's own law as reverse."""
    root, q = taut.StandardNormal((2,)), near(0.1, 1.2)
    copies = lambda z0: jax.tree.map(lambda a: jnp.broadcast_to(a, (3, *a.shape)), q)
    particles = run(taut.Hierarchical(root, copies, lambda z: root, 3))
    log_q = jax.vmap(q.log_density)(particles.value)
    assert jnp.allclose(particles.log_weight, particles.log_target - log_q)


def test_exact_reverse_models_leave_no_trace_of_the_root():
    """`r_j = q_j(z0 | z_j)`, equal weights: every weight is that of the marginal."""
    slope, shift, log_scale = jnp.array(
        [[0.8, -0.5, 0.4], [0.2, -0.3, 0.9], [-0.5, -0.1, 0.2]]
    )
    spread = jnp.exp(log_scale)
    wide = lambda a: jnp.broadcast_to(a[:, None], (3, 2))

    def branch(root):
        loc = jnp.outer(slope, root) + shift[:, None]
        return eqx.filter_vmap(taut.Normal)(loc, wide(log_scale))

    def reverse(z, j):
        variance = 1 / (1 + (slope[j] / spread[j]) ** 2)
        loc = variance * slope[j] * (z - shift[j]) / spread[j] ** 2
        return taut.Normal(loc, jnp.full(2, 0.5 * jnp.log(variance)))

    root = taut.StandardNormal((2,))
    particles = run(taut.Hierarchical(root, branch, taut.ByBranch(reverse), 3))
    width = 0.5 * jnp.log(slope**2 + spread**2)
    marginals = eqx.filter_vmap(taut.Normal)(wide(shift), wide(width))
    log_q = jax.vmap(lambda q, z: q.log_density(z))(marginals, particles.value)
    assert jnp.allclose(particles.log_weight, particles.log_target - log_q)


@pytest.mark.thorough
def test_why_a_reverse_model_of_the_branch_needs_constant_weights():
    """Past the refusal the estimate is off: `sum_j pi_j r_j` is no density."""
    fair = hierarchical(taut.PowerWeights(3.0))
    biased = eqx.tree_at(lambda s: s.reverse, fair, taut.ByBranch(Reverse()))
    for sampler, right in ((fair, True), (biased, False)):
        one = lambda key, s=sampler: s.run(key, p.gaussian_target()).log_z
        log_z = jax.jit(jax.vmap(one))(jr.split(jr.key(0), 100_000))
        w = jnp.exp(log_z - p.gaussian_log_z())
        error = abs(w.mean() - 1) / (w.std() / len(w) ** 0.5)
        assert error < 4.5 if right else error > 10


def test_exponent_is_nothing_for_one_branch():
    def log_z(exponent):
        root = taut.StandardNormal((2,))
        weights = taut.PowerWeights(exponent)
        return run(taut.Hierarchical(root, Branches(1), Reverse(), 1, weights)).log_z

    assert jnp.allclose(log_z(0.0), log_z(1.0), atol=1e-12)
    assert jnp.allclose(log_z(0.0), log_z(3.0), atol=1e-12)


def test_companions_that_ignore_the_point_are_importance():
    q = near(0.1, 1.2)
    particles = run(taut.Companions(q, lambda z: q, 4))
    log_q = jax.vmap(q.log_density)(particles.value)
    assert jnp.allclose(particles.log_weight, particles.log_target - log_q)


def test_chain_of_equals_is_importance():
    """A chain whose every proposal is the first one."""
    q = near(0.1, 1.2)
    particles = run(taut.Chained(q, lambda i, past: q, 4))
    log_q = jax.vmap(q.log_density)(particles.value)
    assert jnp.allclose(particles.log_weight, particles.log_target - log_q)
    assert len(jnp.unique(particles.value[:, 0])) == 4


def test_chain_sees_its_past():
    """`past` holds the draws before the `i`-th, and zeros from there on."""

    def next_(i, past):
        seen = jnp.sum(jnp.any(past != 0, axis=1))
        return taut.Normal(jnp.full(2, 10.0 * i + seen), jnp.full(2, -20.0))

    values = run(taut.Chained(near(0.0, 1.0), next_, 4)).value
    assert jnp.allclose(values[1:, 0], jnp.array([11.0, 22.0, 33.0]), atol=1e-6)


def test_chain_gradient():
    """Total derivative through the chain, by finite differences on fixed keys."""

    @jax.jit
    def bound(shift):
        first = near(0.0, 1.2)
        first = eqx.tree_at(lambda q: q.loc, first, first.loc + shift)
        move = lambda z: taut.Normal(0.9 * z + shift, first.log_scale)
        sampler = taut.Chained(first, taut.Markov(move), 3)
        return sampler.run(jr.key(4), p.gaussian_target()).log_z

    numeric = (bound(0.1 + 1e-5) - bound(0.1 - 1e-5)) / 2e-5
    assert jnp.allclose(jax.grad(bound)(0.1), numeric, rtol=1e-6)


def test_weights_keep_single_precision():
    q = taut.Normal(jnp.zeros(2, jnp.float32), jnp.zeros(2, jnp.float32))
    sampler = taut.MultipleImportance([q, q], taut.FixedWeights((0.2, 0.8)))
    assert sampler.run(jr.key(0), q).log_weight.dtype == jnp.float32


def test_recipes():
    """The papers' names make what they say."""
    root, q = taut.StandardNormal((2,)), near(0.1, 1.0)
    plain = recipes.h_iwae(root, Branches(3), Reverse(), 3)
    assert plain.draw is taut.root_dreg
    powered = recipes.h_iwae(root, Branches(3), Reverse(), 3, exponent=3.0)
    assert powered.draw is taut.root_reparam
    branch = lambda root: taut.Normal(q.loc + 0.1 * root, q.log_scale)
    for sampler in (
        plain,
        powered,
        recipes.iwae_h(root, branch, Reverse(), 2),
        recipes.j_iwae(correlated().marginals, correlated().factor, 1.0),
        recipes.iwae_with_companions(q, lambda z: q, 2),
        recipes.svi(q, 0.1, 2, momentum=0.5),
        recipes.svi(q, 0.1, 0),
    ):
        log_z = eqx.filter_jit(run)(sampler).log_z
        assert jnp.isfinite(log_z)
        assert log_z < p.gaussian_log_z() + 3
    x = p.observation()
    key = jr.key(0)
    guide = p.LinearGuide()
    iwae, plain = (
        recipes.iwae(p.gaussian_joint(), guide, 3),
        taut.Importance(guide(x), 3),
    )
    bound = eqx.filter_jit(iwae.log_prob)(key, x)
    same = eqx.filter_jit(plain.run)(key, p.gaussian_target()).log_z
    assert jnp.allclose(bound, same)
    vae = recipes.snis_vae(
        taut.Normal(jnp.zeros(2), jnp.zeros(2)), jnp.sum, 3, p.Linear(), guide
    )
    assert jnp.isfinite(eqx.filter_jit(vae.log_prob)(key, x))
