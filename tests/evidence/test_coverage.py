"""Intervals keep their word where Z is known, and sabotaged runs do not."""

from dataclasses import replace
from typing import ClassVar

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import Array

from taut.core.kernel import AbstractKernel
from taut.data.errors import MissingData
from taut.evidence import references
from taut.evidence.coverage import coverage, frozen_runs, short
from taut.evidence.methods import annealed, importance
from taut.kernels.flow import flow
from taut.kernels.metropolis import accept
from taut.kernels.step_size import step_size_at

EXACT = [name for name, row in references.table().items() if row["kind"] == "exact"]


def runs_of(name, *, seeds, **more):
    try:
        problem = references.load(name)
    except MissingData as missing:
        pytest.skip(str(missing))
    method, length, moves, runs = short(name)
    given = {"seeds": seeds, "runs": runs, "moves": moves} | more
    low, high = frozen_runs(jr.key(0), problem, method, length, **given)
    return problem.log_z, low, high


@pytest.mark.parametrize("name", ["linear-regression"])
def test_coverage_and_a_missing_log_of_the_number(name):
    log_z, low, high = runs_of(name, seeds=40)
    found = coverage(log_z, low, high)
    assert found.kept, found
    assert found.missed_lower <= found.allowed
    # Sums in place of means: the lower end is lifted by log K.
    broken = coverage(log_z, low + np.log(64), high)
    assert not broken.kept
    assert broken.missed_lower == 1.0


class Heated(AbstractKernel):
    """HMC whose momentum is drawn 1.5 times too wide, and accepted as if it were not:
    its chains are too hot.
    """

    step_size: Array
    reparameterised: ClassVar[bool] = False

    def init(self, path, position):
        return path.value_and_slope(position)

    def forward(self, key, path, t, state):
        pkey, akey = jr.split(key)
        momentum = 1.5 * jr.normal(pkey, state.position.shape)
        step = step_size_at(path, t, self.step_size)
        after, log_ratio = flow(path, t, state, momentum, step, 4)
        return accept(akey, log_ratio, state, after), jnp.zeros_like(log_ratio)

    def backward(self, key, path, t, state):
        return self.forward(key, path, t, state)


def heated(proposal, schedule, moves):
    return annealed(proposal, schedule, replace(moves, kernel=Heated))


@pytest.mark.parametrize(("method", "right"), [(annealed, True), (heated, False)])
def test_scaled_momentum(method, right):
    problem = references.load("linear-regression")
    low, high = frozen_runs(jr.key(1), problem, method, 24, seeds=40, spread=2.0)
    found = coverage(problem.log_z, low, high)
    assert found.kept == right, found
    if not right:
        assert found.missed_upper > 0.5


def test_wide_intervals_are_noticed():
    rng = np.random.default_rng(0)
    low, high = rng.normal(-0.1, 0.1, (2, 40, 16)) + np.array([0.0, 0.2])[:, None, None]
    assert coverage(0.0, low, high).wide == 0
    assert coverage(0.0, low, high, level=1 - 1e-9).wide > 0.9


def test_exact_draws_are_needed():
    problem = replace(references.load("conjugate-gaussian"), exact=None)
    with pytest.raises(ValueError, match="exact draws"):
        frozen_runs(jr.key(0), problem, importance, 8)


@pytest.mark.thorough
@pytest.mark.parametrize("name", EXACT)
def test_coverage_over_200_seeds(name):
    found = coverage(*runs_of(name, seeds=200))
    assert found.kept, found
