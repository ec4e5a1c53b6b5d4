"""Targets and draws from other libraries; each test skips where its library is not."""

import json

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
import pytest

from taut.evidence import Flow, black_box, references, sandwich
from taut.evidence.draws import unconstrained_draws
from taut.evidence.target import LogJoint


def gaussian(p):
    return jnp.sum(npd.Normal(1.0, 2.0).log_prob(p["x"])) + 3.0


def test_a_log_joint_in_pytorch():
    torch = pytest.importorskip("torch")
    law = torch.distributions.Normal(2.0, 0.5)

    def log_joint(p):
        x = torch.from_numpy(np.array(p["x"]))
        return law.log_prob(x).sum().item() + 1.0

    found = sandwich(
        black_box(log_joint), example={"x": jnp.zeros(2)}, gradient_free=True, budget=3
    )
    assert found.verdict.word == "lower only"
    assert abs(found.lower.value - 1.0) < 0.05


DRAWS = 1.0 + 2.0 * np.random.default_rng(0).normal(size=(4, 100, 2))


def arviz_draws():
    return pytest.importorskip("arviz").from_dict(posterior={"x": DRAWS})


def xarray_draws():
    xarray = pytest.importorskip("xarray")
    return xarray.Dataset({"x": (("chain", "draw", "dim"), DRAWS)})


def tree_draws():
    base = pytest.importorskip("arviz_base")
    return base.from_dict({"posterior": {"x": DRAWS}})


@pytest.mark.parametrize("draws", [arviz_draws, xarray_draws, tree_draws])
def test_draws_of_arviz(draws):
    target = LogJoint(gaussian, {"x": jnp.zeros(2)})
    found = unconstrained_draws(target, draws())
    np.testing.assert_array_equal(found, DRAWS)


@pytest.mark.thorough
def test_a_sandwich_on_draws_of_arviz():
    found = sandwich(gaussian, example={"x": jnp.zeros(2)}, draws=arviz_draws())
    assert found.verdict.word == "asymptotic", str(found)
    assert abs(found.estimate.value - 3.0) < 5 * max(found.estimate.se, 1e-3)


def test_to_xarray():
    pytest.importorskip("xarray")
    found = sandwich(references.load("conjugate-gaussian"), budget=2)
    data = found.to_xarray()
    np.testing.assert_array_equal(data["lower"], found.lower.log_z)
    np.testing.assert_array_equal(data["upper"], found.upper.log_z)
    assert data["log_weight"].shape == found.log_weight.shape
    record = json.loads(data.attrs["taut_evidence"])
    assert record["verdict"]["word"] == "certified"


def banana(p):
    x, y = p["x"], p["y"]
    return npd.Normal(0.0, 1.0).log_prob(x) + npd.Normal(x**2, 0.3).log_prob(y)


@pytest.mark.thorough
def test_a_flow_as_the_guide():
    """A bent posterior, which no Gaussian fits; by the ELBO, and by draws."""
    pytest.importorskip("flowjax")
    example = {"x": 0.0, "y": 0.0}
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4, 1000))
    draws = {"x": x, "y": x**2 + 0.3 * rng.normal(size=x.shape)}
    settings = {"example": example, "guide": Flow(), "budget": 20}
    from_draws = sandwich(banana, draws=draws, **settings)
    assert abs(from_draws.estimate.value) < 5 * max(from_draws.estimate.se, 1e-2)
    alone = sandwich(banana, draws=None, **settings)
    assert -0.3 < alone.lower.value < 0.05
    plain = sandwich(banana, example=example, draws=None, budget=5, tolerance=10)
    assert alone.ess / alone.log_weight.size > plain.ess / plain.log_weight.size
