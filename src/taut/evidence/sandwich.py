"""`sandwich`: a log evidence from both sides, with a verdict."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..brief import brief
from .calibrate import calibrate
from .draws import Nuts, flattened, unconstrained_draws
from .fit import Fit, by_population, laplace, moments, starts
from .flow import Flow, available
from .guards import check_normalises
from .methods import (
    annealed,
    importance,
    local_moves,
    moves,
    proposal_of,
    scheduled,
    sequential,
)
from .multiple import MultiSample
from .pilot import choose, try_out
from .plan import Plan
from .problem import Problem, as_problem
from .refine import refined
from .result import Evidence
from .source import LEAST_RUNS, Source, find_source, whiten
from .summary import summarise
from .target import LogJoint, Whitened

_FINAL = 0xF17A1  # the branch of the key that the final run draws from
_MOST_FOR_FLOWS = 64  # dimensions in which a flow is tried unasked
_MOST_FOR_HESSIANS = 64
_MANY = 256
_LEAST_SHARE = 0.2  # of the budget that the final run has, whatever the pilot took


def _silent(stage: str) -> None:
    del stage


def sandwich(
    model: Callable[[PyTree], Array] | Problem | Any,
    *,
    example: PyTree = None,
    constraints: Any = None,
    draws: PyTree | Nuts | None = Nuts(),  # noqa: B008
    exact: Callable[[PRNGKeyArray], PyTree] | None = None,
    guide: PyTree | Flow | MultiSample = None,
    data: PyTree = None,
    counting: bool | None = None,
    gradient_free: bool | None = None,
    budget: float = 60.0,
    tolerance: float = 0.01,
    runs: int = 32,
    num_starts: int = 8,
    level: float = 0.95,
    seed: int = 0,
    progress: Callable[[str], None] = _silent,
) -> Evidence:
    """Bound `log integral exp(log_joint)` from below and from above.

    `model` is a log joint of parameters shaped like `example` (constraints by NumPyro's
    names), an exact target, or a `Problem`. The upper end starts at `exact` draws
    (certified), at posterior `draws` (asymptotic; our own NUTS by default), or is left
    out (`draws=None`). `guide` has rough draws to fit to, in place of modes, or is a
    `Flow()` to be fitted, which is also tried last where no Gaussian did, or a
    `MultiSample(...)` of your own: the only method then.

    A pilot fits, chooses and tunes; the final run has fresh keys and a length decided
    before it starts: at most what `budget` seconds pay for, and no more than a gap of
    `tolerance` is expected to need.
    """
    if runs < LEAST_RUNS:
        raise ValueError(f"Expected at least {LEAST_RUNS} runs; got {runs}.")
    if not budget > 0 or not tolerance > 0:
        raise ValueError("Expected a positive budget (seconds) and tolerance (nats).")
    problem = as_problem(
        model,
        example,
        constraints=constraints,
        exact=exact,
        data=data,
        counting=counting,
        gradient_free=gradient_free,
    )
    began = time.perf_counter()
    target = problem.target()
    key, final_key = jr.split(jr.key(seed))
    final_key = jr.fold_in(final_key, _FINAL)

    progress("fitting")
    fit = _fit(jr.fold_in(key, 0), problem, target, num_starts)
    rough = guide is not None and not isinstance(guide, (Flow, MultiSample))
    if rough:
        fit = moments(flattened(unconstrained_draws(target, guide)))
    progress("drawing")
    source = find_source(jr.fold_in(key, 1), problem, target, fit, draws, runs)
    if fit is None or not rough:
        fit = source.refit(fit)
    progress("piloting")
    loc, scale = map(jnp.asarray, fit.pooled())
    white = Whitened(target, loc.astype(target.dtype), scale.astype(target.dtype))
    spent = lambda: time.perf_counter() - began
    per_run = lambda: max(budget - spent(), _LEAST_SHARE * budget) / runs
    trials = _trials(jr.fold_in(key, 2), problem, white, fit, source, guide)
    chosen, tried = choose(trials, per_run, tolerance)
    # The compiler has to be paid for once more, at the final length.
    seconds = max(per_run() - chosen.compiling / runs, _LEAST_SHARE * budget / runs)
    length = chosen.length(seconds, tolerance)

    progress(f"running {chosen.method.name}, length {length:,}")
    plan = Plan(chosen.method, length, runs, level)
    points = source.final(white)
    low, high = plan.run(final_key, white, points)
    calibration = None
    if points is not None:
        sampler = plan.method.build(plan.length)
        calibration = calibrate(
            jr.fold_in(final_key, 1), problem, sampler, white, points
        )
    return summarise(
        plan,
        low,
        high,
        problem,
        fit,
        source,
        seed=seed,
        dtype=str(target.dtype),
        seconds=spent(),
        calibration=calibration,
        pilot=tuple(trial.summary() for trial in tried),
    )


def _fit(key, problem: Problem, target: LogJoint, num: int) -> Fit | None:
    first = target.unconstrain(target.example)
    if not np.all(np.isfinite(first)):
        raise ValueError(
            "`example` breaks a constraint; expected parameters inside their support, "
            f"got {problem.example}."
        )
    skey, pkey = jr.split(key)
    value = float(target.log_prob(key, first))
    many = brief(jax.vmap(lambda u: target.log_prob(key, u)))
    points = starts(skey, first, num)
    values = np.asarray(many(points), float)
    if not np.any(np.isfinite(values)):
        raise ValueError(
            f"The log joint is {value} at `example`, and finite at none of {num} "
            "points around it. Give an example that is a plausible value of them."
        )
    if problem.gradient_free:
        return by_population(pkey, target, first)
    fit = laplace(target, points)
    if fit is not None:
        log_prob = lambda u: np.asarray(many(jnp.asarray(u, first.dtype)), float)
        check_normalises(log_prob, fit.locs[0], np.random.default_rng(0))
        fit = refined(pkey, target, fit)
    return fit


def _trials(key, problem: Problem, white: Whitened, fit: Fit, source: Source, guide):
    """Methods in the order of what they cost to try."""
    points, dim = source.pilot(white), white.loc.shape[0]
    trial = lambda i, method: try_out(jr.fold_in(key, i), method, white, points)
    if isinstance(guide, MultiSample):
        yield lambda: trial(9, guide.method())
        return
    early = whiten(white, source.early) if source.fits else None
    if isinstance(guide, Flow):
        proposal, name = guide.fit(jr.fold_in(key, 4), white, early, dim), "flow"
    else:
        proposal = proposal_of(fit, white.whiten, np.asarray(white.scale_tril))
        name = "Gaussian"
    # What JAX cannot look into is evaluated point by point, on the host; in many
    # dimensions importance sampling is not the method that is worth a long trial.
    pilot = 256 if problem.gradient_free or dim > _MANY else 2048
    yield lambda: trial(0, importance(proposal, pilot, name))
    how = moves(dim, gradient_free=problem.gradient_free)
    schedule = scheduled(jr.fold_in(key, 1), white, proposal, how)
    yield lambda: trial(2, annealed(proposal, schedule, how))
    yield lambda: trial(3, sequential(proposal, schedule, how))
    if not problem.gradient_free and dim <= _MOST_FOR_HESSIANS:
        local = local_moves(dim)
        schedule = scheduled(jr.fold_in(key, 7), white, proposal, local)
        yield lambda: trial(8, annealed(proposal, schedule, local))
    if guide is None and early is not None and 1 < dim <= _MOST_FOR_FLOWS:
        if available():
            flow = Flow().fit(jr.fold_in(key, 5), white, early, dim)
            yield lambda: trial(6, importance(flow, pilot, "flow"))
