"""Log joint, exact sampler and stated value of each reference problem agree."""

from functools import cache

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.stats import norm

from taut.data.errors import MissingData
from taut.densities.normal import StandardNormal
from taut.evidence import Whitened, references
from taut.evidence.fit import moments
from taut.evidence.methods import importance
from taut.evidence.plan import Plan
from taut.evidence.statistics import bennett, bootstrap_error

QUICK = ["linear-regression-nig", "hidden-markov", "eight-schools", "many-well-pair"]
LONGER = [
    "conjugate-gaussian",
    "linear-regression",
    "probabilistic-pca",
    "kalman",
    "beta-binomial",
    "gamma-poisson",
    "dirichlet-multinomial",
    "eight-schools-half-normal",
    "eight-schools-log-normal",
    "brownian-motion",
]
RUNS = 16


@cache
def frozen(name, seeds, num):
    """Both ends of one frozen method: importance with a guide fitted to exact draws."""
    problem = references.load(name)
    target = problem.target()
    sample = jax.jit(jax.vmap(lambda k: target.unconstrain(problem.exact(k))))
    pilot = np.asarray(sample(jr.split(jr.key(1), 4000)))
    loc, scale = moments(pilot).pooled()
    white = Whitened(target, jnp.asarray(loc), 1.1 * jnp.asarray(scale))
    points = jax.vmap(white.whiten)(sample(jr.split(jr.key(2), seeds * RUNS)))
    plan = Plan(importance(StandardNormal((target.size,))), num, seeds * RUNS, 0.95)
    low, high = plan.run(jr.key(3), white, points)
    shape = (seeds, RUNS)
    return problem.log_z, low.log_z.reshape(shape), high.log_z.reshape(shape)


@pytest.mark.parametrize("name", QUICK)
def test_both_ends_agree_with_the_stated_value(name):
    check(*frozen(name, 10, 64))


@pytest.mark.thorough
@pytest.mark.parametrize("name", LONGER)
def test_the_others_too(name):
    check(*frozen(name, 40, 256))


def check(log_z, low, high):
    low, high = low.ravel(), high.ravel()
    rng = np.random.default_rng(0)
    error = max(bootstrap_error(low, high, rng, 50), 1e-9)
    assert abs(bennett(low, high) - log_z) < 4.5 * error
    # The two laws behind the ends, of Z_hat and of 1 / Z_hat.
    for ratio in (np.exp(low - log_z), np.exp(log_z - high)):
        assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / np.sqrt(ratio.size)


def test_table_states_what_the_code_computes():
    for name, row in references.table().items():
        if row["kind"] != "exact" or name.startswith(("brownian", "kidscore")):
            continue
        assert references.load(name).log_z == pytest.approx(row["log_z"], abs=1e-8)
    assert set(references.table()) == set(references.PROBLEMS)


@pytest.mark.parametrize("name", ["kidscore-momiq", "ar-k", "low-dim-gauss-mix"])
def test_models_of_posteriordb(name):
    """Proper densities; the conjugate one has its value, and exact draws."""
    try:
        problem = references.load(name)
    except MissingData as missing:
        pytest.skip(str(missing))
    target = problem.target()
    start = target.unconstrain(target.example)
    value, slope = jax.value_and_grad(lambda u: target.log_prob(jr.key(0), u))(start)
    assert np.isfinite(value)
    assert np.all(np.isfinite(slope))
    if problem.exact is not None:
        stated = references.table()[name]["log_z"]
        assert problem.log_z == pytest.approx(stated, abs=1e-8)
        check(*frozen(name, 4, 64))


def test_ordered_means_have_a_normalised_prior():
    """Half of the plane, twice the density: the trap of ordered priors."""
    grid = np.linspace(-12.0, 12.0, 1201)
    log_prob = norm.logpdf(grid, 0, 2)
    both = np.exp(np.log(2.0) + log_prob[:, None] + log_prob[None])
    step = grid[1] - grid[0]
    ordered = np.triu(both, 1).sum() * step**2 + np.diagonal(both).sum() * step**2 / 2
    assert ordered == pytest.approx(1.0, abs=1e-6)


def test_unknown_problem_names_the_nearest():
    with pytest.raises(ValueError, match="eight-schools"):
        references.load("eight-school")


def test_missing_data_say_where_they_belong(monkeypatch, tmp_path):
    monkeypatch.setenv("TAUT_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="TAUT_DATA"):
        references.load("ionosphere")
