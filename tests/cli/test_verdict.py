"""Is this length enough? What simulated examples say."""

import numpy as np
import pytest

from taut.cli.verdict import rounded_up, sandwiched

LOWER = np.array([-3.0, -4.0, -5.0, -6.0])


def judged(gap, tolerance=1.0, lower=LOWER):
    cure = lambda ratio: f"{ratio:.2f} times"
    return sandwiched(lower, lower + gap, tolerance=tolerance, cure=cure)


def test_a_narrow_gap_is_long_enough():
    found = judged(np.array([0.1, 0.2, 0.1, 0.2]))
    assert found["enough"]
    assert "long enough: within 1 nats" in found["verdict"]
    assert found["gap"]["mean"] == pytest.approx(0.15)
    assert judged(np.zeros(4))["enough"]  # a perfect guide: no gap, and no error


def test_a_wide_gap_says_by_how_much():
    gap = np.array([1.9, 2.1, 1.9, 2.1])
    found = judged(gap, 0.5)
    error = np.std(gap, ddof=1) / 2
    assert not found["enough"]
    assert f"{(2 + 2 * error) / 0.5:.2f} times" in found["verdict"]


def test_a_gap_that_is_small_by_chance_is_not_enough():
    found = judged(np.array([-4.0, 4.0, -4.0, 4.0]))
    assert found["gap"]["mean"] == 0.0
    assert not found["enough"]


def test_ends_that_cross_are_not_trusted():
    found = judged(np.array([-5.0, -5.1, -5.2, -5.1]))
    assert not found["enough"]
    assert "the ends cross" in found["verdict"]


def test_infinite_ends_are_counted_and_one_example_judges_nothing():
    lower = np.array([-3.0, -np.inf, -5.0])
    found = judged(np.array([0.1, 0.1, 0.1]), lower=lower)
    assert (found["left_out"], found["enough"]) == (1, False)
    assert "1 examples have an infinite end" in found["verdict"]
    found = judged(np.array([0.1, np.inf, 0.1, 0.1]))
    assert (found["left_out"], found["enough"]) == (1, False)
    assert "one example" in judged(np.array([0.1]), lower=LOWER[:1])["verdict"]
    assert "NaN at 4" in judged(np.nan)["verdict"]


def test_advice_has_one_digit():
    assert [rounded_up(n) for n in (1.0, 1001.0, 2000.0, 123456.0)] == [
        1,
        2000,
        2000,
        200_000,
    ]
