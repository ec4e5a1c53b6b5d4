"""Do intervals keep their word? Many seeds of one frozen method, where Z is known."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray
from scipy.stats import binom

from .adapt import Schedule
from .methods import (
    Method,
    Moves,
    annealed,
    importance,
    local_moves,
    moves,
    proposal_of,
    scheduled,
    sequential,
)
from .moments import by_draws
from .plan import Plan
from .problem import Problem
from .result import BOUND, CERTIFIED, End
from .target import Whitened

_ERRORS = 8.0
_AT_ONCE = 400
_HMC = partial(moves, gradient_free=False)


class Short(NamedTuple):
    """A method, its length, what moves its particles in so many dimensions, and how
    many runs an interval comes from.
    """

    method: Callable[..., Method]
    length: int
    moves: Callable[[int], Moves] = _HMC
    runs: int = 16


# Short on purpose: gaps that can be seen, and weights with tails. Where exact draws lie
# in narrow necks, HMC of one step size per temperature cannot lead back out of them: a
# kernel that can, or as many runs as meet several necks, each shorter.
SHORT = {
    "brownian-motion": Short(annealed, 8, runs=640),
    "kalman": Short(annealed, 16),
    "probabilistic-pca": Short(annealed, 16),
    "funnel": Short(annealed, 32, local_moves),
    "student-mixture": Short(annealed, 16),
    "gaussian-mixture": Short(sequential, 16),
    "many-well-pair": Short(sequential, 16),
    "many-well": Short(sequential, 32),
}


def short(name: str) -> Short:
    """What a reference problem is covered with."""
    return SHORT.get(name, Short(importance, 64))


@dataclass(frozen=True)
class Coverage:
    """Shares of seeds; each end is held to its own expectation, and to the truth."""

    seeds: int
    level: float
    own_lower: float  # bound from below at most the mean of all lower ends
    own_upper: float
    missed_lower: float  # bound from below above the truth
    missed_upper: float
    wide: float  # wider than the gap and eight standard errors
    gap: float
    width: float  # median

    @property
    def allowed(self) -> float:
        """The share of misses that the level and `seeds` coins explain (99.9 %)."""
        return float(binom.ppf(0.999, self.seeds, 1 - self.level)) / self.seeds

    @property
    def kept(self) -> bool:
        """All of it as it should be."""
        missing = (1 - self.own_lower, 1 - self.own_upper)
        worst = max(*missing, self.missed_lower, self.missed_upper)
        return worst <= self.allowed and self.wide == 0

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "allowed": self.allowed, "kept": self.kept}


def coverage(
    log_z: float, low: np.ndarray, high: np.ndarray, level: float = 0.95
) -> Coverage:
    """Of `log Z_hat` of shape (seeds, runs), forward and conditional."""
    lower = [End(row, -1, BOUND, level) for row in low]
    upper = [End(row, +1, CERTIFIED, level) for row in high]
    below = np.array([end.bound for end in lower])
    above = np.array([end.bound for end in upper])
    error = np.hypot([end.se for end in lower], [end.se for end in upper])
    gap = float(high.mean() - low.mean())
    return Coverage(
        len(low),
        level,
        own_lower=float(np.mean(below <= low.mean())),
        own_upper=float(np.mean(above >= high.mean())),
        missed_lower=float(np.mean(below > log_z)),
        missed_upper=float(np.mean(above < log_z)),
        wide=float(np.mean(above - below > gap + _ERRORS * error)),
        gap=gap,
        width=float(np.median(above - below)),
    )


def frozen_runs(
    key: PRNGKeyArray,
    problem: Problem,
    method: Callable[..., Method],
    length: int,
    *,
    seeds: int = 200,
    runs: int = 16,
    spread: float = 1.1,
    moves: Callable[[int], Moves] = _HMC,
) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of one method, `seeds` times with fresh exact draws and fresh keys.

    `method(proposal)` or, if it moves, `method(proposal, schedule, moves)`. The guide
    has the moments of other exact draws and is `spread` times as wide.
    """
    if problem.exact is None:
        raise ValueError("Coverage needs exact draws; this problem has none.")
    exact, target = problem.exact, problem.target()
    fkey, pkey, skey, rkey = jr.split(key, 4)
    sample = jax.jit(jax.vmap(lambda k: target.unconstrain(exact(k))))
    fit = by_draws(np.asarray(sample(jr.split(fkey, seeds * runs))))
    loc, scale = fit.pooled()
    white = Whitened(target, jnp.asarray(loc), spread * jnp.asarray(scale))
    points = jax.vmap(white.whiten)(sample(jr.split(pkey, seeds * runs)))
    law = proposal_of(fit, white.whiten, np.asarray(white.scale_tril))
    how = moves(len(loc))
    many = replace(_build(skey, method, white, law, how), at_once=_AT_ONCE)
    plan = Plan(many, length, seeds * runs, 0.95)
    low, high = plan.run(rkey, white, points)
    assert high is not None
    shaped = lambda record: np.asarray(record.log_z, float).reshape(seeds, runs)
    return shaped(low), shaped(high)


def _build(
    key, method: Callable[..., Method], white: Whitened, law, how: Moves
) -> Method:
    if method is importance:
        return importance(law)
    schedule: Schedule = scheduled(key, white, law, how)
    return method(law, schedule, how)
