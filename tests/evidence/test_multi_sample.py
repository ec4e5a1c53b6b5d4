"""Multi-sample guides as methods, where the evidence is known."""

import equinox as eqx
import jax.numpy as jnp
import pytest

import taut
from taut.evidence import MultiSample, references, sandwich


def refined(num):
    """BSVI: a Gaussian that is moved uphill from draw to draw."""
    start = taut.Normal(jnp.full(DIM, 0.2), jnp.full(DIM, 0.1))
    return taut.Refined(start, 0.05, num - 1)


def hierarchical(num):
    """H-IWAE: draws around a common root, each branch at a width of its own."""
    widths = jnp.linspace(-0.3, 0.3, num)

    def branch(root):
        one = lambda w: taut.Normal(0.4 * root, jnp.full_like(root, w))
        return eqx.filter_vmap(one)(widths)

    reverse = lambda z: taut.Normal(0.4 * z, jnp.full_like(z, -0.1))
    return taut.Hierarchical(taut.StandardNormal((DIM,)), branch, reverse, num)


PROBLEM = "linear-regression"
DIM = 5


@pytest.mark.parametrize("build", [refined, hierarchical])
def test_a_guide_of_ones_own_brackets_a_known_evidence(build):
    problem = references.load(PROBLEM)
    guide = MultiSample(build)
    # The tolerance is met long before the budget is spent: no length by the clock.
    found = sandwich(problem, guide=guide, budget=60, tolerance=0.5, level=0.999)
    assert found.method.startswith(f"guide, {type(build(2)).__name__}")
    assert found.verdict.word == "certified", str(found)
    assert found.lower.interval[0] <= problem.log_z <= found.upper.interval[1]
    assert found.upper.interval[1] - found.lower.interval[0] < 0.5
    assert abs(found.estimate.value - problem.log_z) < 5 * found.estimate.se


def test_a_guide_that_is_no_sampler_is_refused():
    guide = MultiSample(lambda num: taut.StandardNormal((DIM,)))
    with pytest.raises(TypeError, match="to be a sampler"):
        sandwich(references.load(PROBLEM), guide=guide, budget=1)


def test_numbers_of_draws_are_checked():
    with pytest.raises(ValueError, match="MultiSample: pilot must be an integer"):
        MultiSample(refined, pilot=0)
    with pytest.raises(ValueError, match="MultiSample: most must be .* at least 8"):
        MultiSample(refined, most=4)
