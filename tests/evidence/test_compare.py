"""Model probabilities from two-sided evidences."""

import dataclasses

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as npd
import pytest

from taut.evidence import compare, sandwich

Y = np.array([0.8, 1.4, 0.9])


@pytest.fixture(scope="module")
def evidences():
    def model(scale):
        return lambda mu: (
            npd.Normal(0.0, scale).log_prob(mu)
            + jnp.sum(npd.Normal(mu, 1.0).log_prob(Y))
        )

    def evidence(scale):
        n, mean = len(Y), Y.mean()
        spread = 1 / (1 / scale**2 + n)
        draw = lambda key: spread * n * mean + spread**0.5 * jr.normal(key)
        return sandwich(model(scale), example=0.0, exact=draw, data=Y, budget=3)

    return {"narrow": evidence(0.5), "wide": evidence(20.0)}


def truth(scale):
    cov = np.eye(3) + scale**2
    _, log_det = np.linalg.slogdet(2 * np.pi * cov)
    return -0.5 * (log_det + Y @ np.linalg.solve(cov, Y))


def test_probabilities_hold_the_truth(evidences):
    found = compare(evidences)
    factor = truth(0.5) - truth(20.0)
    value, (low, high) = found.log_bayes_factor("narrow", "wide")
    assert low < factor < high
    assert value == pytest.approx(factor, abs=0.02)
    p = 1 / (1 + np.exp(-factor))
    (least, most), _ = found.intervals
    assert least < p < most
    assert found.probabilities.sum() == pytest.approx(1.0)
    assert "narrow" in str(found)


def test_a_missing_upper_end_leaves_the_others_open(evidences):
    lower_only = dataclasses.replace(evidences["wide"], upper=None)
    found = compare([evidences["narrow"], lower_only])
    (least, _), (_, most) = found.intervals
    assert least == 0.0
    assert most == 1.0


def test_prior_weights_move_the_probabilities(evidences):
    even, skewed = compare(evidences), compare(evidences, prior=[1.0, 9.0])
    odds = lambda c: c.probabilities[0] / c.probabilities[1]
    assert odds(skewed) == pytest.approx(odds(even) / 9)


@pytest.mark.parametrize(
    ("digest", "words"), [("other", "different data"), (None, "which data")]
)
def test_other_data_are_refused(evidences, digest, words):
    other = dataclasses.replace(evidences["wide"], data_digest=digest)
    with pytest.raises(ValueError, match=words):
        compare([evidences["narrow"], other])


def test_one_model_is_no_comparison(evidences):
    with pytest.raises(ValueError, match="at least two"):
        compare([evidences["narrow"]])
