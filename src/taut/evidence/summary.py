"""From the final runs to ends, an estimate, diagnostics and a verdict."""

from importlib.metadata import version
from typing import Any

import numpy as np

from .fit import Fit
from .guards import judge
from .plan import Plan
from .problem import Problem, digest
from .result import BOUND, Curve, End, Estimate, Evidence
from .runs import Record
from .source import Source
from .statistics import (
    bennett,
    bootstrap_error,
    effective,
    log_mean_exp,
    pareto_khat,
)


def summarise(
    plan: Plan,
    low: Record,
    high: Record | None,
    problem: Problem,
    fit: Fit,
    source: Source,
    **rest: Any,
) -> Evidence:
    """Ends, estimate, diagnostics and verdict of the final runs."""
    log_z = np.asarray(low.log_z, float)
    log_weight = np.asarray(low.log_weight, float)
    epsilon = float(np.finfo(rest["dtype"]).eps)
    lower = End(log_z, -1, BOUND, plan.level, epsilon)
    upper, upper_z = None, None
    if high is not None:
        upper_z = np.asarray(high.log_z, float)
        upper = End(upper_z, +1, source.kind, plan.level, epsilon)
    records = [low] if high is None else [low, high]
    count = lambda name: int(sum(np.sum(getattr(r, name)) for r in records))
    # The runs are the independent units: particles of one run may be relatives.
    ess, khat = effective(log_z), pareto_khat(log_weight.ravel())
    if plan.method.name != "sequential Monte Carlo":
        ess = effective(log_weight.ravel())
    invalid, infinite = count("invalid"), count("infinite")
    acceptance = float(np.mean(low.acceptance))
    verdict = judge(
        lower,
        upper,
        ess=ess,
        khat=khat,
        invalid=invalid,
        infinite=infinite,
        rejected=count("rejected") / max(count("moves"), 1),
        particles=sum(r.log_weight.size for r in records),
        counting=problem.counting,
        fit=fit,
        troubles=source.troubles,
        notes=problem.notes,
    )
    return Evidence(
        lower=lower,
        upper=upper,
        estimate=_estimate(log_z, upper_z, rest["seed"]),
        verdict=verdict,
        method=str(plan),
        settings={**plan.method.settings, "runs": plan.runs, "size": plan.length},
        ess=ess,
        khat=khat,
        acceptance=None if np.isnan(acceptance) else acceptance,
        invalid=invalid + infinite,
        evaluations=plan.evaluations(0 if high is None else len(high.log_z)),
        versions={name: version(name) for name in ("taut", "jax", "numpyro")},
        data_digest=digest(problem.data),
        curve=_curve(plan, low),
        log_weight=log_weight,
        **rest,
    )


def _estimate(low: np.ndarray, high: np.ndarray | None, seed: int) -> Estimate:
    """Bennett's acceptance ratio on paired runs; of one side, log-mean-exp."""
    if high is not None and np.any(np.isfinite(low)):
        error = bootstrap_error(low, high, np.random.default_rng(seed))
        return Estimate(bennett(low, high), error, "Bennett's acceptance ratio")
    value = log_mean_exp(low)
    # The delta method: the relative error of the mean of Z_hat.
    relative = np.exp(low - value)
    return Estimate(
        value, float(np.std(relative, ddof=1) / np.sqrt(len(low))), "log-mean-exp"
    )


def _curve(plan: Plan, low: Record) -> Curve | None:
    """Self-normalised means of `log gamma - log q` along the annealing path."""
    if low.log_ratio is None:
        return None
    sampler: Any = plan.method.build(plan.length)
    betas = np.asarray(sampler.betas, float)
    chains = lambda a: np.asarray(a, float).reshape(-1, a.shape[-1])
    log_ratio = chains(low.log_ratio)
    ends = np.concatenate(
        [np.zeros((len(log_ratio), 1)), log_ratio * np.diff(betas, prepend=0.0)], axis=1
    )
    log_weight = np.cumsum(ends, axis=1)
    # Before increment t the chains are at beta_{t-1}; the last point serves beta = 1.
    log_ratio = np.concatenate([log_ratio, log_ratio[:, -1:]], axis=1)
    w = np.exp(log_weight - log_weight.max(axis=0))
    w = w / w.sum(axis=0)
    mean = np.sum(w * np.where(w > 0, log_ratio, 0.0), axis=0)
    error = np.sqrt(np.sum(w**2 * np.where(w > 0, log_ratio - mean, 0.0) ** 2, axis=0))
    return Curve(np.concatenate([[0.0], betas]), mean, error)
