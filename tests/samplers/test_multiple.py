"""Unlike, dependent and hierarchical proposals: reductions, marginals, errors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut
from contract import problems as p
from contract.cases_samplers import (
    Branches,
    Reverse,
    correlated,
    gate,
    hierarchical,
    near,
    semi_implicit,
    unlike,
)
from taut import recipes


def run(sampler, seed=0):
    return jax.jit(lambda key: sampler.run(key, p.gaussian_target()))(jr.key(seed))


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


class Long(eqx.Module):
    def __call__(self, z):
        return taut.StandardNormal((3,))


class Four(eqx.Module):
    def __call__(self, *point):
        return jnp.zeros(4)


def test_weights_keep_single_precision():
    q = taut.Normal(jnp.zeros(2, jnp.float32), jnp.zeros(2, jnp.float32))
    sampler = taut.MultipleImportance([q, q], taut.FixedWeights((0.2, 0.8)))
    assert sampler.run(jr.key(0), q).log_weight.dtype == jnp.float32


def wide():
    """Over other events."""
    return taut.Normal(jnp.zeros(3), jnp.zeros(3))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: taut.PowerWeights(-1.0), "exponent of at least 0; got -1"),
        (lambda: taut.PowerWeights(float("inf")), "exponent of at least 0; got inf"),
        (lambda: taut.PowerWeights(1e39), "finite exponent"),
        (lambda: taut.FixedWeights((0.2, 0.2)), "add up to 1; got"),
        (lambda: taut.FixedWeights((1.2, -0.2)), "at least 0 that add up to 1"),
        (lambda: taut.FixedWeights((float("nan"), 1.0)), "which add up to nan"),
        (lambda: taut.Hierarchical(near(0, 1), Branches(3), Reverse(), 0), "num must"),
        (
            lambda: run(taut.Hierarchical(near(0, 1), Branches(3), Reverse(), 4)),
            "expected 4 branches",
        ),
        (
            lambda: run(taut.Hierarchical(near(0, 1), Branches(3), Long(), 3)),
            r"roots, which have shape \(2,\); got one over events of shape \(3,\)",
        ),
        (
            lambda: run(hierarchical(taut.NetworkWeights(gate(4)))),
            "expected 3 weights",
        ),
        (
            lambda: run(
                taut.MultipleImportance(unlike(), taut.SoftmaxWeights(jnp.zeros(2)))
            ),
            "expected 3 weights",
        ),
        (lambda: taut.Chained(near(0, 1), lambda i, z: z, 0), "num must"),
        (lambda: taut.MultipleImportance([]), "at least 1"),
        (lambda: taut.Antithetic(near(0, 1), 0), "at least 1"),
        (
            lambda: taut.Correlated(correlated().marginals, jnp.ones((2, 2))),
            "K stacked marginals",
        ),
        (
            lambda: taut.Correlated(correlated().marginals, jnp.zeros((3, 2))),
            "without rows of zeros",
        ),
        (
            lambda: run(taut.MultipleImportance([near(0, 1), wide()])),
            r"The first proposal has events of shape \(2,\), but met .* \(3,\)",
        ),
        (
            lambda: run(taut.Chained(near(0, 1), lambda i, z: wide(), 2)),
            r"the first proposal has events of shape \(2,\), but met .* \(3,\)",
        ),
    ],
)
def test_values_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_weights_that_do_not_add_up():
    """A function of the user's own is checked as it runs."""
    good = taut.GivenWeights(lambda z: jax.nn.log_softmax(jnp.sum(z) * jnp.arange(3.0)))
    run(taut.MultipleImportance(unlike(), good))
    bad = taut.GivenWeights(lambda z: jnp.log(jnp.array([0.5, 0.4, 0.3])))
    with pytest.raises(Exception, match="add up to one at every point"):
        run(taut.MultipleImportance(unlike(), bad))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: taut.MultipleImportance(
                (near(0, 1), semi_implicit()), taut.PowerWeights(1.0)
            ),
            "known density",
        ),
        (
            lambda: hierarchical(
                taut.PowerWeights(1.0), reverse=taut.ByBranch(Reverse())
            ),
            "depends on the branch",
        ),
        (
            lambda: taut.Chained(
                near(0, 1), lambda i, z: near(0, 1), 3, taut.NetworkWeights(gate())
            ),
            "the same at every point",
        ),
        (lambda: taut.Antithetic(semi_implicit()), "to_noise"),
        (
            lambda: run(taut.Companions(near(0, 1), lambda z: semi_implicit(), 2)),
            "the companion's density",
        ),
        (
            lambda: taut.Companions(semi_implicit(), lambda z: near(0, 1), 2),
            "the proposal's density",
        ),
    ],
)
def test_types_refused(make, words):
    with pytest.raises(TypeError, match=words):
        make()


def test_discrete_draws_are_not_differentiated_through(getkey):
    """Values are fine; a gradient to the proposals is refused."""
    proposals = (p.finite_proposal(), p.other_proposal())
    sampler = taut.MultipleImportance(proposals, taut.PowerWeights(1.0))
    target = p.finite_target()
    assert jnp.isfinite(sampler.run(getkey(), target).log_z)
    with pytest.raises(TypeError, match="reparameterised"):
        eqx.filter_grad(lambda s: s.run(getkey(), target).log_z)(sampler)


@pytest.mark.parametrize(
    "sampler",
    [
        taut.Companions(near(0, 1), lambda z: near(0, 1), 2),
        taut.MultipleImportance(unlike()),
        hierarchical(),
        taut.Chained(near(0, 1), lambda i, past: near(0, 1), 2),
    ],
)
def test_frozen_has_no_upper_end(sampler, getkey):
    frozen = taut.Frozen(p.gaussian_target(), getkey())
    with pytest.raises(TypeError, match="Frozen"):
        sampler.run_conditional(getkey(), frozen, jnp.zeros(2), jnp.array(0.0))


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


class Cliff(eqx.Module):
    """No number beyond the cliff, far from the posterior."""

    def __call__(self, z):
        return jnp.where(z[0] > 20, jnp.nan, 0.0)


def broken_target():
    return taut.Tilted(p.gaussian_posterior(), Cliff())


def far_and_near(weights):
    return taut.MultipleImportance([near(50.0, 1.0), near(0.1, 1.2)], weights)


def far_branch_and_near(weights):
    def branch(root):
        q = p.gaussian_posterior()
        shift = jnp.array([[50.0], [0.1]])
        spread = jnp.broadcast_to(q.log_scale + 0.1, (2, 2))
        return eqx.filter_vmap(taut.Normal)(q.loc[None] + shift, spread)

    root = taut.Normal(jnp.zeros(2), jnp.zeros(2))
    return taut.Hierarchical(root, branch, lambda z: root, 2, weights)


def both_ends(sampler):
    target, exact = broken_target(), p.gaussian_posterior().sample(jr.key(3))

    @jax.jit
    def ends(key):
        log_target = target.log_prob(key, exact)
        above = sampler.run_conditional(key, target, exact, log_target)
        return jnp.stack([sampler.run(key, target).log_z, above.log_z])

    return ends(jr.key(1))


@pytest.mark.parametrize("make", [far_and_near, far_branch_and_near])
def test_a_zero_weight_beside_nan(make):
    """What has the weight zero does no harm; with any other, NaN is not hidden."""
    assert jnp.isfinite(both_ends(make(taut.FixedWeights((0.0, 1.0))))).all()
    assert jnp.isnan(both_ends(make(taut.FixedWeights((0.01, 0.99))))).all()


def test_a_zero_weight_is_the_other_proposal_alone():
    run = lambda sampler: sampler.run(jr.key(1), broken_target())
    both = run(far_and_near(taut.FixedWeights((0.0, 1.0))))
    z = both.value[1]
    log_q = near(0.1, 1.2).log_density(z)
    assert jnp.allclose(both.log_z, p.gaussian_posterior().log_density(z) - log_q)
