"""The pilot: a short trial of each method, and a length for the final run."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.density import AbstractTarget
from .methods import Method
from .runs import BLOCK, run_conditional_many, run_many
from .statistics import pareto_khat

_MOST_KHAT = 0.7
_TINY = 1e-8
_SPARE = 2.0  # times as long as the pilot's gap asks for: it is rough


@dataclass(frozen=True)
class Trial:
    """How one method did at its pilot length."""

    method: Method
    gap: float  # measured, or the variance of log Z_hat, which it tends to
    khat: float
    seconds: float  # per run, both ends
    compiling: float

    def length(self, seconds: float, tolerance: float) -> int:
        """As long as fits, and no longer than the tolerance asks for."""
        pilot = self.method.pilot
        fits = pilot * seconds / self.seconds
        needed = _SPARE * pilot * self.gap / tolerance
        return int(np.clip(np.ceil(min(fits, needed)), pilot, self.method.most))

    def promise(self, seconds: float, tolerance: float) -> float:
        """The gap to expect at that length: it falls as one over the length."""
        if self.method.name == "importance" and self.khat > _MOST_KHAT:
            return np.inf
        return self.gap * self.method.pilot / self.length(seconds, tolerance)

    def summary(self) -> dict[str, Any]:
        return {
            "method": self.method.name,
            "length": self.method.pilot,
            "gap": self.gap,
            "khat": self.khat,
            "seconds_per_run": self.seconds,
        }


def try_out(
    key: PRNGKeyArray,
    method: Method,
    target: AbstractTarget[Float[Array, " D"]],
    points: Float[Array, "R D"] | None,
) -> Trial:
    """Both ends at the pilot length; the second time is the timed one."""
    sampler = method.build(method.pilot)
    how = method.at_once, method.jit(method.pilot)
    lows, highs, clocks, weights = [], [], [], []
    for again in range(2):
        began = time.perf_counter()
        lkey, ukey = jr.split(jr.fold_in(key, again))
        low = run_many(jr.split(lkey, BLOCK), sampler, target, *how)
        lows.append(low.log_z)
        weights.append(low.log_weight)
        if points is not None:
            some = points[again::2][:BLOCK]
            keys = jr.split(ukey, len(some))
            high = run_conditional_many(keys, sampler, target, some, *how)
            highs.append(high.log_z)
        clocks.append(time.perf_counter() - began)
    lower = np.concatenate(lows).astype(float)
    spread = float(np.var(lower)) if np.all(np.isfinite(lower)) else np.inf
    measured = 0.0
    if highs:
        measured = float(np.mean(np.concatenate(highs)) - np.mean(lower))
    gap = max(spread, measured, _TINY)
    khat = pareto_khat(np.concatenate(weights).ravel().astype(float))
    return Trial(method, gap, khat, clocks[1] / BLOCK, clocks[0])


def choose(
    trials: Iterable[Callable[[], Trial]],
    seconds_per_run: Callable[[], float],
    tolerance: float,
) -> tuple[Trial, list[Trial]]:
    """Try methods in order until one promises the tolerance; else take the best."""
    tried: list[Trial] = []
    for trial in trials:
        tried.append(trial())
        if tried[-1].promise(seconds_per_run(), tolerance) <= tolerance:
            return tried[-1], tried
    return min(tried, key=lambda t: t.promise(seconds_per_run(), tolerance)), tried
