"""Step sizes and inverse temperatures, from a pilot; frozen afterwards."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.density import AbstractExact, AbstractTarget
from ..core.kernel import AbstractKernel
from ..samplers.annealed import Annealed

_GRID = 24  # temperatures of the pilot
_CHAINS = 32
_MANY = 256  # dimensions beyond which half as many are enough
_ROUNDS = 8


@dataclass(frozen=True)
class Schedule:
    """How fast to anneal and how far to step, as functions of the temperature."""

    beta: np.ndarray  # a grid from 0 to 1
    progress: np.ndarray  # from 0 to 1: thermodynamic length up to there
    log_step: np.ndarray
    acceptance: float

    def betas(self, num: int) -> np.ndarray:
        """`num` increments of equal length."""
        betas = np.interp(np.arange(1, num + 1) / num, self.progress, self.beta)
        betas[-1] = 1.0
        return betas

    def step_sizes(self, betas: np.ndarray) -> np.ndarray:
        return np.exp(np.interp(betas, self.beta, self.log_step))


def adapt(
    key: PRNGKeyArray,
    target: AbstractTarget[Float[Array, " D"]],
    proposal: AbstractExact[Float[Array, " D"]],
    kernel: Callable[[Float[Array, " T"]], AbstractKernel],
    first_step: float,
    goal: float,
) -> Schedule:
    """Step sizes that are accepted at the rate `goal`, and temperatures at equal
    thermodynamic distance: `d length / d beta` is the spread of `log gamma - log q`.
    """

    event = eqx.filter_eval_shape(proposal.sample, key)
    chains = _CHAINS if event.size < _MANY else _CHAINS // 2

    @eqx.filter_jit
    def walk(key, target, betas, steps):
        sampler = Annealed(proposal, kernel(steps), betas, chains)
        record = sampler.run(key, target).diagnostics
        rejected_nan = jnp.where(jnp.isnan(record.acceptance), 0.0, record.acceptance)
        return jnp.mean(rejected_nan, axis=0), record.log_ratio

    betas = (np.arange(1, _GRID + 1) / _GRID) ** 3
    log_step = np.full(_GRID, np.log(first_step))
    acceptance = np.zeros(_GRID)
    for i in range(_ROUNDS):
        steps = jnp.exp(jnp.asarray(log_step))
        found, log_ratio = walk(jr.fold_in(key, i), target, jnp.asarray(betas), steps)
        acceptance = np.asarray(found)
        log_step = log_step + (2.0 if i < _ROUNDS // 2 else 1.0) * (acceptance - goal)
        grid = np.concatenate([[0.0], betas])
        progress = _length(grid, np.asarray(log_ratio, float))
        known = np.concatenate([log_step[:1], log_step])
        if i < _ROUNDS - 1:
            fresh = np.interp(np.arange(1, _GRID + 1) / _GRID, progress, grid)
            fresh[-1] = 1.0
            log_step = np.interp(fresh, grid, known)
            betas = fresh
    return Schedule(grid, progress, known, float(np.mean(acceptance)))


def _length(grid: np.ndarray, log_ratio: np.ndarray) -> np.ndarray:
    """Cumulative length, normalised; `log_ratio` was weighed at `grid[:-1]`."""
    quartiles = np.nanquantile(
        np.where(np.isfinite(log_ratio), log_ratio, np.nan), [0.25, 0.75], axis=0
    )
    spread = np.nan_to_num(quartiles[1] - quartiles[0])
    steps = spread * np.diff(grid)
    total = steps.sum()
    steps = steps / total if total > 0 else np.diff(grid)
    # A tenth of uniform speed: no temperature is skipped on a bad guess.
    steps = 0.9 * steps + 0.1 * np.diff(grid)
    progress = np.concatenate([[0.0], np.cumsum(steps)])
    return progress / progress[-1]
