"""`sandwich` end to end, and every guard."""

import json

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as npd
import pytest
from numpyro.distributions import constraints

from taut.evidence import Nuts, Problem, black_box, references, sandwich
from taut.evidence.fit import Fit
from taut.evidence.guards import judge
from taut.evidence.problem import digest
from taut.evidence.result import End

MODES = 6.0


def two_modes(p):
    """Half the mass at each of +-6, in one dimension: log Z = 0."""
    each = npd.Normal(jnp.array([-MODES, MODES]), 1.0).log_prob(p["x"])
    return jax.nn.logsumexp(each) - jnp.log(2.0)


def gaussian(p):
    return jnp.sum(npd.Normal(1.0, 2.0).log_prob(p["x"])) + 3.0


@pytest.fixture(scope="module")
def certified():
    problem = references.load("linear-regression-nig")
    return problem, sandwich(problem, budget=5, seed=1)


def test_certified_ends_hold_the_truth(certified):
    problem, evidence = certified
    assert evidence.verdict.word == "certified", str(evidence)
    assert evidence.upper.kind == "certified"
    assert evidence.lower.bound < problem.log_z < evidence.upper.bound
    point = evidence.estimate
    assert abs(point.value - problem.log_z) < 5 * point.se
    assert evidence.gap < 0.1
    assert evidence.evaluations > 0
    assert evidence.lower.guaranteed(0.05) < problem.log_z
    assert evidence.upper.guaranteed(0.05) > problem.log_z


def test_record_and_picture(certified):
    problem, evidence = certified
    record = json.loads(evidence.to_json())
    assert record["upper"]["kind"] == "certified"
    assert record["data_digest"] == digest(problem.data)
    assert record["lower"]["interval"][1] is None
    assert record["seed"] == 1
    assert evidence.plot().startswith("<svg")
    assert "certified" in str(evidence)


def test_same_seed_same_pilot_draws(certified):
    problem, _ = certified
    draw = jax.vmap(problem.exact)(jr.split(jr.key(0), 3))
    again = jax.vmap(problem.exact)(jr.split(jr.key(0), 3))
    np.testing.assert_array_equal(draw["w"], again["w"])


def one_mode():
    return {"x": MODES + np.random.default_rng(0).normal(size=(4, 400))}


def test_draws_from_one_of_two_modes_are_found_out():
    found = sandwich(two_modes, example={"x": 5.0}, draws=one_mode(), budget=3)
    assert found.verdict.word == "do not trust"
    assert "miss modes" in str(found.verdict)
    assert abs(found.lower.value) < 0.1


def test_without_other_starts_both_ends_agree_on_one_mode():
    """Both ends are off by log 2; nothing shows it, and the verdict says so."""
    example = {"x": 5.0}
    found = sandwich(
        two_modes, example=example, draws=one_mode(), budget=3, num_starts=1
    )
    np.testing.assert_allclose(found.lower.value, -np.log(2), atol=0.05)
    assert found.upper.value < -0.5
    assert found.verdict.word == "asymptotic"
    assert "can lie below the truth" in str(found.verdict)


def test_draws_from_both_modes_are_trusted():
    rng = np.random.default_rng(1)
    x = rng.choice([-MODES, MODES], (4, 400)) + rng.normal(size=(4, 400))
    found = sandwich(two_modes, example={"x": 5.0}, draws={"x": x}, budget=3)
    assert found.verdict.word == "asymptotic", str(found)
    assert "can lie below the truth" in str(found.verdict)
    assert abs(found.estimate.value) < 5 * max(found.estimate.se, 1e-3)


@pytest.mark.thorough
def test_own_chains_at_both_modes_fail_rhat():
    found = sandwich(two_modes, example={"x": 5.0}, draws=Nuts(4, 200, 200), budget=3)
    assert found.verdict.word == "do not trust"
    assert "R-hat" in str(found.verdict)


@pytest.mark.thorough
def test_own_draws_of_a_gaussian():
    nuts = Nuts(4, 200, 300)
    found = sandwich(gaussian, example={"x": jnp.zeros(3)}, draws=nuts, budget=3)
    assert found.verdict.word == "asymptotic", str(found)
    assert abs(found.estimate.value - 3.0) < 5 * max(found.estimate.se, 1e-3)


def test_lower_end_alone():
    found = sandwich(gaussian, example={"x": jnp.zeros(2)}, draws=None, budget=3)
    assert found.verdict.word == "lower only"
    assert found.upper is None
    assert found.gap is None
    assert abs(found.lower.value - 3.0) < 0.02


def judged(low, high, **found):
    """A verdict on made-up runs."""
    usual = {"ess": 1e3, "khat": 0.1, "invalid": 0, "infinite": 0, "rejected": 0.0}
    usual |= {"particles": 1000}
    usual |= {"counting": False, "troubles": (), "notes": ()}
    fit = Fit(np.zeros((1, 1)), np.ones((1, 1, 1)), np.zeros(1))
    upper = None if high is None else End(high, +1, "certified")
    return judge(End(low, -1, "bound"), upper, fit=fit, **(usual | found))


def test_verdicts_by_rule():
    noise = np.random.default_rng(0).normal(size=(2, 32))
    low, high = noise[0] - 0.5, noise[1] + 0.5
    assert judged(low, high).word == "certified"
    assert judged(low, None).word == "lower only"
    assert "cross" in str(judged(low + 5, high))
    assert "dominates" in str(judged(low, high, ess=2.0))
    assert "infinite" in str(judged(low, high, infinite=1))
    assert "k-hat" in str(judged(low, high, khat=0.9))
    assert judged(np.append(low, -np.inf), high).word == "do not trust"


def test_chains_that_disagree():
    draws = {"x": np.random.default_rng(3).normal(size=(4, 100, 2)) + 1.0}
    draws["x"][0] += 4.0
    found = sandwich(gaussian, example={"x": jnp.zeros(2)}, draws=draws, budget=3)
    assert found.verdict.word == "do not trust"
    assert "R-hat" in str(found.verdict)


def separable():
    x = np.linspace(-2.0, 2.0, 20)[:, None]
    return x, (x[:, 0] > 0.1).astype(int)


def test_separable_data_without_a_prior_are_refused():
    x, y = separable()
    log_likelihood = lambda w: jnp.sum(npd.Bernoulli(logits=x @ w).log_prob(y))
    with pytest.raises(ValueError, match="evidence is infinite"):
        sandwich(log_likelihood, example=jnp.zeros(1), draws=None, budget=3)


def test_an_ignored_parameter_is_refused():
    ignoring = lambda p: npd.Normal(0, 1).log_prob(p["a"])
    with pytest.raises(ValueError, match="evidence is infinite"):
        sandwich(ignoring, example={"a": 0.0, "b": 0.0}, draws=None, budget=3)


def test_counted_data_above_one():
    p = Problem(gaussian, {"x": jnp.zeros(2)}, counting=True)
    found = sandwich(p, draws=None, budget=3)
    assert found.verdict.word == "do not trust"
    assert "above 1" in str(found.verdict)


def test_nan_is_counted():
    def log_joint(p):
        value = jnp.sum(npd.Normal(0.0, 1.0).log_prob(p["x"]))
        return jnp.where(p["x"][0] > 1.5, jnp.nan, value)

    found = sandwich(log_joint, example={"x": jnp.zeros(2)}, draws=None, budget=3)
    assert found.verdict.word == "do not trust"
    assert "NaN" in str(found.verdict)
    assert found.invalid > 0


def test_nowhere_finite():
    with pytest.raises(ValueError, match="finite at none"):
        sandwich(lambda p: jnp.nan * p, example=0.0, draws=None)


def test_black_box_needs_no_gradient():
    log_joint = lambda p: float(-0.5 * np.sum((p["x"] - 2.0) ** 2))
    found = sandwich(
        black_box(log_joint),
        example={"x": jnp.zeros(2)},
        gradient_free=True,
        budget=2,
    )
    assert found.verdict.word == "lower only"
    assert abs(found.lower.value - np.log(2 * np.pi)) < 0.05


@pytest.mark.parametrize(
    ("draws", "words"),
    [
        ({"y": np.zeros((4, 100, 2))}, "lack"),
        ({"x": np.zeros((4, 100, 3))}, "shapes"),
        ({"x": np.zeros((2, 4, 100, 2))}, "shapes"),
        ({"x": np.zeros((4, 10, 2))}, "at least 40"),
        ({"x": np.full((4, 100, 2), np.nan)}, "not finite"),
    ],
)
def test_bad_draws(draws, words):
    with pytest.raises(ValueError, match=words):
        sandwich(gaussian, example={"x": jnp.zeros(2)}, draws=draws)


def test_draws_outside_the_support():
    log_joint = lambda p: npd.HalfNormal(1.0).log_prob(p["tau"])
    draws = {"tau": np.random.default_rng(0).normal(size=400)}
    with pytest.raises(ValueError, match="break a constraint"):
        sandwich(
            log_joint,
            example={"tau": 1.0},
            constraints={"tau": constraints.positive},
            draws=draws,
        )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"runs": 3}, "16 runs"),
        ({"budget": 0.0}, "positive budget"),
        ({"example": None}, "example"),
    ],
)
def test_bad_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        sandwich(gaussian, **({"example": {"x": 0.0}} | settings))


def test_single_precision(float32):
    """JAX's default; counted in the record."""
    problem = references.load("conjugate-gaussian")
    found = sandwich(problem, budget=3)
    assert found.dtype == "float32"
    assert found.verdict.word == "certified", str(found)
    assert abs(found.estimate.value - problem.log_z) < 0.01
