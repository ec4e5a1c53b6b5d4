"""Log joint, exact sampler and stated value of each reference problem agree."""

from functools import cache

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from taut.data.errors import MissingData
from taut.densities.normal import StandardNormal
from taut.evidence import Whitened, references
from taut.evidence.fit import moments
from taut.evidence.methods import importance
from taut.evidence.plan import Plan
from taut.evidence.result import End
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
        if row["kind"] != "exact" or name.startswith("brownian"):
            continue
        assert references.load(name).log_z == pytest.approx(row["log_z"], abs=1e-8)
    assert set(references.table()) == set(references.PROBLEMS)


def test_unknown_problem_names_the_nearest():
    with pytest.raises(ValueError, match="eight-schools"):
        references.load("eight-school")


def test_missing_data_say_where_they_belong(monkeypatch, tmp_path):
    monkeypatch.setenv("TAUT_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="TAUT_DATA"):
        references.load("ionosphere")


def coverage(log_z, low, high, level=0.95):
    """Shares of seeds whose bounds cover each end's expectation, and the truth."""
    lower = np.array([End(row, -1, "bound", level).bound for row in low])
    upper = np.array([End(row, +1, "certified", level).bound for row in high])
    return {
        "own": [np.mean(lower <= low.mean()), np.mean(upper >= high.mean())],
        "missed": [np.mean(lower > log_z), np.mean(upper < log_z)],
        "width": upper - lower,
        "gap": high.mean() - low.mean(),
        "error": np.hypot(low.std(1, ddof=1), high.std(1, ddof=1)) / RUNS**0.5,
    }


@pytest.mark.thorough
@pytest.mark.parametrize("name", QUICK + LONGER)
def test_coverage_over_200_seeds(name):
    found = coverage(*frozen(name, 200, 64))
    # Binomial: 0.95 - 4 sqrt(0.95 0.05 / 200), and skew costs a little more.
    assert min(found["own"]) > 0.87, found["own"]
    assert max(found["missed"]) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)
    assert np.all(found["width"] < found["gap"] + 8 * found["error"])


def test_sabotage_is_caught():
    """Forgetting log K shifts the lower end by log 64: the ends cross."""
    log_z, low, high = frozen("hidden-markov", 10, 64)
    broken = low + np.log(64)
    assert max(coverage(log_z, broken, high)["missed"]) == 1.0
