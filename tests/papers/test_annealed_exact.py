"""Annealed evaluation where the truth is known, and the pictures made of it."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.scipy.stats import multivariate_normal

from taut.papers.annealed import AIS
from taut.papers.annealed.adapting import RULES, bias, problems
from taut.papers.annealed.coverage import allowed, covered, evaluated, verdict
from taut.papers.annealed.exact import (
    Guide,
    divergences,
    linear_gaussian,
    models,
    principal_components,
)
from taut.papers.annealed.figures import FIGURES
from taut.papers.annealed.gaps import long_chains
from taut.papers.annealed.implicit import annealing, draws, importance, measured
from taut.papers.annealed.memory import training


@pytest.mark.parametrize("make", [lambda: linear_gaussian(3), principal_components])
def test_closed_forms(make):
    model = make()
    weight, noise = model.decoder.weight, jnp.exp(2 * model.decoder.log_scale)
    product = weight.T @ weight
    assert jnp.allclose(product, jnp.diag(jnp.diag(product)), atol=1e-9)
    x = model.examples(jr.key(0), 1)[0]
    covariance = weight @ weight.T + noise * jnp.eye(len(x))
    truth = multivariate_normal.logpdf(x, model.decoder.offset, covariance)
    assert jnp.allclose(model.log_evidence(x), truth)
    # Bayes: the joint over the posterior is the same everywhere.
    z = model.posterior(x).sample(jr.key(1))
    ratio = model.joint.log_prob(jr.key(2), (z, x)) - model.posterior(x).log_density(z)
    assert jnp.allclose(ratio, truth)


def test_divergences_of_the_guide():
    """Half a deviation off and 1.3 times too wide, in every dimension."""
    model = linear_gaussian(4)
    x = model.examples(jr.key(0), 1)[0]
    square = 1.3**2
    each = 0.5 * (square + 1 / square - 2 + 0.25 * (1 + 1 / square))
    found = divergences(Guide(model.decoder)(x), model.posterior(x))
    assert jnp.allclose(found, 4 * each)


def test_intervals_keep_their_level():
    small = {"chains": 2, "temperatures": 8, "leapfrogs": 3}
    found = covered(linear_gaussian(2), seeds=100, runs=16, **small)
    assert verdict(found), found
    assert found["lower"] < 0 < found["upper"]
    assert not verdict(found | {"too_wide": 1})
    assert not verdict(found | {"misses": {"truth": allowed(100) + 1}})


@pytest.mark.thorough
@pytest.mark.parametrize("name", list(models()))
def test_intervals_keep_their_level_over_200_seeds(name, float32):
    model = models()[name]
    assert verdict(covered(model))
    assert verdict(evaluated(model))


@pytest.mark.thorough
@pytest.mark.parametrize("start", ["guide", "prior"])
def test_long_single_chains_come_near_to_perfect_moves(start, float32):
    model = linear_gaussian(2)
    x = model.examples(jr.key(3), 1)[0]
    q = Guide(model.decoder)(x) if start == "guide" else model.prior
    found = long_chains(model, q, x)
    assert found["ratio"] - 3 * found["ratio_error"] < 1.3, found
    assert found["gap"] < 0.05


def test_adapting_while_weighing_is_biased():
    """A chain that adapts fast weighs too much, by many standard errors."""
    problem = problems()["funnel"]
    few = {"chains": 8192, "temperatures": 20, "leapfrogs": 3}
    fast = bias(problem, RULES["one chain, x 2 / 0.5"], **few)
    assert fast["mean_weight"] > 5 * fast["mean_weight_error"], fast
    published = bias(problem, RULES["published: 256 chains, x 1.002 / 0.998"], **few)
    assert abs(published["mean_weight"]) < 5 * published["mean_weight_error"] + 0.01


def test_annealing_is_nearer_than_importance_sampling_at_equal_cost():
    """Figure 1, in small; and a sampler whose law is the proposal's."""
    found = {
        name: measured(np.asarray(draws(jr.key(0), make, 2000)))
        for name, make in {
            "proposal": importance(1),
            "IS": importance(125),
            "AIS": annealing(125),
        }.items()
    }
    q = 1 - 0.9**2  # KL between normals: correlation zero against 0.9
    truth = 0.5 * (2 - 2 - np.log(q**2 / q))
    assert abs(found["proposal"]["divergence"] - truth) < 0.1
    far = [found[name]["divergence"] for name in ("proposal", "IS", "AIS")]
    assert far[0] > far[1] + 0.05 > far[2] + 0.1


def test_memory_of_training_does_not_grow_with_the_length(float32):
    chains = AIS(5, leapfrogs=2)
    short, long = (training(replace(chains, temperatures=t), 16) for t in (5, 50))
    # Acceptances of 45 more moves of 80 chains, and room for their keys.
    assert long - short < 0.1 * short


def test_figures_are_known_to_the_command():
    assert {"coverage", "gaps", "adapting", "figure1", "memory"} == set(FIGURES)
    assert all(draw.__doc__ for draw in FIGURES.values())
    json.dumps(list(FIGURES))
    assert jax.tree.leaves(models())
