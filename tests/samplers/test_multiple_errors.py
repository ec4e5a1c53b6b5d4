"""Many proposals: what is refused, and what a weight of zero does."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from multiple_fixture import run

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


class Long(eqx.Module):
    def __call__(self, z):
        return taut.StandardNormal((3,))


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
