"""Intervals, Bennett's ratio and tail indices on laws that are known."""

import numpy as np
import pytest
from scipy.stats import binom

from taut.evidence.result import End
from taut.evidence.statistics import (
    bennett,
    bootstrap_error,
    crossing,
    effective,
    log_mean_exp,
    pareto_khat,
    split_rhat,
)


def gaussian_work(rng, gap, num):
    """Log weights with `log Z = 0`: N(-gap, 2 gap) forward, N(gap, 2 gap) reverse."""
    scale = np.sqrt(2 * gap)
    forward = rng.normal(-gap, scale, num)
    return forward, rng.normal(gap, scale, num)


@pytest.mark.parametrize("gap", [0.05, 2.0])
def test_interval_covers_its_own_expectation(gap):
    rng, seeds, hits = np.random.default_rng(0), 1000, np.zeros(2)
    for _ in range(seeds):
        low, high = gaussian_work(rng, gap, 16)
        lower, upper = End(low, -1, "bound"), End(high, +1, "certified")
        hits += [lower.bound <= -gap, upper.bound >= gap]
    least, most = binom.ppf([1e-4, 1 - 1e-4], seeds, 0.95)
    assert np.all((hits >= least) & (hits <= most)), hits


def test_interval_of_skewed_weights_covers():
    """Of 16 exponentials: the correction helps where Student's bound falls short."""
    rng, seeds = np.random.default_rng(1), 2000
    draws = -rng.exponential(size=(seeds, 16))
    student = draws.mean(1) - 1.753 * draws.std(1, ddof=1) / 4
    covered = [End(row, -1, "bound").bound <= -1.0 for row in draws]
    assert np.mean(covered) > 0.89
    assert np.mean(student <= -1.0) < np.mean(covered) - 0.02


def test_guarantee_misses_no_more_than_alpha():
    rng = np.random.default_rng(2)
    for side in (-1, +1):
        missed = [
            side * End(gaussian_work(rng, 4.0, 1)[side > 0], side, "x").guaranteed(0.1)
            < 0
            for _ in range(2000)
        ]
        assert np.mean(missed) <= 0.1


def test_bennett_is_unbiased_where_each_side_is_not():
    rng = np.random.default_rng(3)
    values = [bennett(*gaussian_work(rng, 1.0, 200)) for _ in range(100)]
    error = np.std(values) / 10
    assert abs(np.mean(values)) < 4 * error
    one = bootstrap_error(*gaussian_work(rng, 1.0, 200), rng)
    np.testing.assert_allclose(one, np.std(values), rtol=0.4)


def test_bennett_with_the_harmonic_mean_is_off():
    """Harmonic means of reverse chains are not paired with forward chains."""
    rng = np.random.default_rng(4)
    forward, _ = gaussian_work(rng, 2.0, 20_000)
    reverse = rng.normal(2.0, 2.0, (20_000, 8))
    harmonic = np.array([-log_mean_exp(-row) for row in reverse])
    assert abs(bennett(forward, reverse[:, 0])) < 0.05
    assert abs(bennett(forward, harmonic)) > 0.2


def test_tail_index_of_pareto_weights():
    rng = np.random.default_rng(5)
    for k in (0.3, 0.9):
        log_weight = k * rng.exponential(size=50_000)  # Pareto of tail index k
        assert abs(pareto_khat(log_weight) - k) < 0.15


def test_negated_weights_look_harmless():
    """The mistake to avoid: the tail of `-log w` is not that of the weights."""
    log_weight = 1.2 * np.random.default_rng(6).exponential(size=20_000)
    assert pareto_khat(log_weight) > 0.7
    assert pareto_khat(-log_weight) < 0.5


def test_one_dominating_weight():
    assert effective(np.array([0.0, 50.0, 1.0])) == pytest.approx(1.0)
    assert effective(np.full(5, -np.inf)) == 0.0


def test_crossing_counts_standard_errors():
    rng = np.random.default_rng(7)
    low, high = gaussian_work(rng, 0.1, 32)
    assert crossing(low, high) < 0
    assert crossing(low + np.log(8), high) > 4


def test_rhat_sees_chains_that_never_meet():
    rng = np.random.default_rng(8)
    draws = rng.normal(size=(4, 200, 2))
    assert np.all(split_rhat(draws) < 1.03)
    draws[0] += 3.0
    assert np.all(split_rhat(draws) > 1.2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_interval_is_narrower_than_rounding(dtype):
    """Where the guide is the posterior, runs differ by rounding alone."""
    log_z, eps = np.full(16, -600.0), float(np.finfo(dtype).eps)
    truth = -600.0 + 10 * eps * 600.0
    assert End(log_z, +1, "certified", 0.95, eps).bound > truth
    assert End(log_z, -1, "bound", 0.95, eps).bound < -600.0
    assert End(log_z, +1, "certified", 0.95, eps).bound < -600.0 + 0.01
