"""Which method the pilot chooses, and that its word is kept afterwards."""

import numpy as np
import pytest

from taut.evidence import references, sandwich
from taut.evidence.methods import Method
from taut.evidence.pilot import Trial, choose
from taut.evidence.refine import refined

SECONDS = lambda: 1.0


def trial(name, *, gap, khat=0.1, seconds=0.01, pilot=100):
    method = Method(name, lambda num: None, lambda num: num, pilot, 1_000_000)
    return Trial(method, gap, khat, seconds, 0.0)


def chosen(*trials, tolerance=0.01):
    found, tried = choose([lambda t=t: t for t in trials], SECONDS, tolerance)
    return found.method.name, len(tried)


def test_the_first_that_promises_the_tolerance():
    cheap = trial("importance", gap=0.1)
    assert chosen(cheap, trial("annealing", gap=0.01)) == ("importance", 1)
    # Not within a second: its gap of 9 would need a length a thousand times as long.
    poor = trial("importance", gap=9.0)
    assert chosen(poor, trial("annealing", gap=0.1)) == ("annealing", 2)


def test_importance_with_a_heavy_tail_promises_nothing():
    heavy = trial("importance", gap=0.001, khat=0.9)
    assert chosen(heavy, trial("annealing", gap=0.5)) == ("annealing", 2)


def test_length_has_something_to_spare():
    """Twice what the rough gap asks for, and no more than the seconds pay for."""
    found = trial("importance", gap=0.1)
    assert found.length(1.0, 0.01) == 2000
    assert found.length(0.05, 0.01) == 500
    assert found.length(1.0, 10.0) == 100
    assert found.promise(1.0, 0.01) <= 0.01


IMPORTANCE = ["conjugate-gaussian", "linear-regression", "gaussian-mixture"]
MOVED = ["cox-process-32", "funnel", "many-well"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", IMPORTANCE)
def test_importance_sampling_is_chosen(name):
    found = sandwich(references.load(name), budget=30)
    assert found.method.startswith("importance")
    assert found.verdict.word == "certified"


@pytest.mark.thorough
@pytest.mark.parametrize("name", MOVED)
def test_annealing_or_smc_is_chosen(name):
    found = sandwich(references.load(name), budget=60, tolerance=0.05)
    assert found.method.startswith(("annealed", "sequential")), str(found)


@pytest.mark.thorough
def test_one_gaussian_is_not_chosen_for_necks():
    """Moves or a flow: which of them, the pilot's clock decides."""
    found = sandwich(references.load("brownian-motion"), budget=60, tolerance=0.05)
    assert found.settings.get("guide") != "Gaussian", str(found)


def test_the_refined_guide_is_nearer():
    """A skewed posterior: the mode of a Gamma's log is not its mean."""
    import jax.numpy as jnp
    import jax.random as jr

    from taut.evidence import LogJoint
    from taut.evidence.fit import Fit

    shape = 2.0  # u = log of a Gamma(2): mode 0.69, mean digamma(2) = 0.42
    target = LogJoint(lambda u: jnp.sum(shape * u - jnp.exp(u)), jnp.zeros(2))
    mode = np.full((1, 2), np.log(shape))
    laplace = Fit(mode, np.eye(2)[None] / shape**0.5, np.zeros(1))
    found = refined(jr.key(0), target, laplace)
    # The best Gaussian has E_q[exp(u)] = shape = 1 / variance.
    variance = found.scale_trils[0] @ found.scale_trils[0].T
    np.testing.assert_allclose(variance, np.eye(2) / shape, atol=0.03)
    best = np.log(shape) - 0.5 / shape
    np.testing.assert_allclose(found.locs[0], best, atol=0.1)


@pytest.mark.parametrize("heavy", [False, True])
def test_tails_choose_the_guide(heavy):
    """A Student of three degrees for draws of one, a Gaussian for those of a Gaussian;
    and a fit that knows the law better than the draws do is kept.
    """
    from taut.evidence.fit import Fit
    from taut.evidence.moments import by_draws

    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2000, 2)) @ np.array([[1.0, 0.5], [0.0, 2.0]])
    if heavy:
        draws = draws / np.sqrt(rng.chisquare(3, size=(2000, 1)) / 3)
    found = by_draws(draws)
    assert np.isfinite(found.degrees_of_freedom) == heavy
    cov = found.scale_trils[0] @ found.scale_trils[0].T
    np.testing.assert_allclose(cov, [[1.0, 0.5], [0.5, 4.25]], atol=0.4)
    if not heavy:
        scale = np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 4.25]]))
        truth = Fit(np.zeros((1, 2)), scale[None], np.zeros(1))
        assert by_draws(draws, truth) is truth
        poor = Fit(np.full((1, 2), 3.0), scale[None], np.zeros(1), flat=0.5)
        assert by_draws(draws, poor).flat == 0.5


def test_density_of_a_mixture_of_fits():
    from scipy.stats import multivariate_normal

    from taut.evidence.fit import Fit

    scale = np.array([[[1.0, 0.0], [0.5, 2.0]], [[0.3, 0.0], [0.0, 0.3]]])
    locs = np.array([[0.0, 1.0], [2.0, -1.0]])
    fit = Fit(locs, scale, np.log([0.25, 0.75]))
    x = np.array([0.4, 0.2])
    parts = [
        w * multivariate_normal(m, s @ s.T).pdf(x)
        for w, m, s in zip([0.25, 0.75], locs, scale)
    ]
    assert fit.log_density(x[None])[0] == pytest.approx(np.log(sum(parts)))
