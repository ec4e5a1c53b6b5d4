"""The gap of the frozen method where exact draws are to be had: on simulated data."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..core.sampler import AbstractSampler
from .problem import Problem
from .result import Calibration
from .statistics import standard_error
from .target import LogJoint, Whitened


class Both(eqx.Module):
    """The log joint of the real data and of simulated data together."""

    log_joint: Callable[[PyTree], Array]
    log_likelihood: Callable[[PyTree, PyTree], Array]
    data: PyTree

    def __call__(self, params: PyTree) -> Array:
        return self.log_joint(params) + self.log_likelihood(params, self.data)


def calibrate(
    key: PRNGKeyArray,
    problem: Problem,
    sampler: AbstractSampler,
    white: Whitened,
    points: Float[Array, "R D"],
) -> Calibration | None:
    """Simulate data at each posterior draw, and bound the evidence of both data sets.

    Given z ~ p(z | x) and x' ~ p(x' | z), z is a draw of p(z | x, x'): as exact for
    both data sets as it was for one. Method, guide and schedule are those of the final
    run, so that for annealed methods the task is about as hard; importance sampling
    has a narrower posterior to meet with the same guide.
    """
    if problem.simulate is None or problem.log_likelihood is None:
        return None
    gaps = _gaps(
        jr.split(key, len(points)),
        points,
        sampler,
        white,
        (problem.log_joint, problem.log_likelihood, problem.simulate),
        problem.constraints,
        white.target,
    )
    values = np.asarray(gaps, float)
    return Calibration(float(values.mean()), standard_error(values), len(values))


@eqx.filter_jit
def _gaps(keys, points, sampler, white, functions, constraints, target: Any):
    log_joint, log_likelihood, simulate = functions

    def one(pair):
        key, z = pair
        skey, lkey, ukey = jr.split(key, 3)
        data = simulate(skey, target.constrain(white.colour(z)))
        both = Both(log_joint, log_likelihood, data)
        doubled = LogJoint(both, target.example, constraints)
        aim = Whitened(doubled, white.loc, white.scale_tril)
        low = sampler.run(lkey, aim).log_z
        log_target = aim.log_prob(ukey, z)
        return sampler.run_conditional(ukey, aim, z, log_target).log_z - low

    return jax.lax.map(one, (keys, points))
