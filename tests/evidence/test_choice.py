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
ANNEALED = ["brownian-motion", "cox-process-32", "kalman"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", IMPORTANCE)
def test_importance_sampling_is_chosen(name):
    found = sandwich(references.load(name), budget=30)
    assert found.method.startswith("importance")
    assert found.verdict.word == "certified"


@pytest.mark.thorough
@pytest.mark.parametrize("name", ANNEALED)
def test_annealing_is_chosen(name):
    found = sandwich(references.load(name), budget=60, tolerance=0.05)
    assert found.method.startswith("annealed"), str(found)


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
