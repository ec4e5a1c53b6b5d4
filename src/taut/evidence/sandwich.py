"""`sandwich`: a log evidence from both sides, with a verdict."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .draws import Draws, Nuts, diagnosed, flattened, nuts, unconstrained_draws
from .fit import Fit, by_population, laplace, moments, starts
from .guards import check_normalises, judge, missed_modes
from .methods import (
    Method,
    annealed,
    importance,
    moves,
    proposal_of,
    scheduled,
    sequential,
)
from .pilot import choose, try_out
from .problem import Problem, as_problem, digest
from .result import ASYMPTOTIC, BOUND, CERTIFIED, Curve, End, Estimate, Evidence
from .runs import Record, run_conditional_many, run_many
from .statistics import (
    bennett,
    bootstrap_error,
    effective,
    log_mean_exp,
    pareto_khat,
)
from .target import LogJoint, Whitened

_FINAL = 0xF17A1  # the branch of the key that the final run draws from
_LEAST_RUNS = 16
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
    guide: PyTree = None,
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
    out (`draws=None`). `guide` has rough draws to fit to, in place of modes.

    A pilot fits, chooses and tunes; the final run has fresh keys and a length decided
    before it starts: at most what `budget` seconds pay for, and no more than a gap of
    `tolerance` is expected to need.
    """
    if runs < _LEAST_RUNS:
        raise ValueError(f"Expected at least {_LEAST_RUNS} runs; got {runs}.")
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
    if guide is not None:
        fit = moments(flattened(unconstrained_draws(target, guide)))
    progress("drawing")
    source = _source(jr.fold_in(key, 1), problem, target, fit, draws, runs)
    fit = source.refit(fit)
    progress("piloting")
    loc, scale = map(jnp.asarray, fit.pooled())
    white = Whitened(target, loc.astype(target.dtype), scale.astype(target.dtype))
    spent = lambda: time.perf_counter() - began
    per_run = lambda: max(budget - spent(), _LEAST_SHARE * budget) / runs
    trials = _trials(jr.fold_in(key, 2), problem, white, fit, source.pilot(white))
    chosen, tried = choose(trials, per_run, tolerance)
    # The compiler has to be paid for once more, at the final length.
    seconds = max(per_run() - chosen.compiling / runs, _LEAST_SHARE * budget / runs)
    length = chosen.length(seconds, tolerance)

    progress(f"running {chosen.method.name}, length {length:,}")
    plan = Plan(chosen.method, length, runs, level)
    points = source.final(white)
    low, high = plan.run(final_key, white, points)
    return _evidence(
        plan,
        low,
        high,
        problem,
        fit,
        source,
        seed=seed,
        dtype=str(target.dtype),
        seconds=spent(),
        pilot=tuple(trial.summary() for trial in tried),
    )


@dataclass(frozen=True)
class Plan:
    """What the pilot decided: frozen before the final run starts."""

    method: Method
    length: int
    runs: int
    level: float

    def run(
        self, key: PRNGKeyArray, target: Whitened, points: Float[Array, "R D"] | None
    ) -> tuple[Record, Record | None]:
        """The final runs of both ends, with fresh keys."""
        lkey, ukey = jr.split(key)
        sampler = self.method.build(self.length)
        low = run_many(jr.split(lkey, self.runs), sampler, target)
        if points is None:
            return low, None
        keys = jr.split(ukey, len(points))
        return low, run_conditional_many(keys, sampler, target, points)

    def evaluations(self, conditional: int) -> int:
        return self.method.cost(self.length) * (self.runs + conditional)

    def __str__(self):
        unit = self.method.settings.get("length", "length")
        return f"{self.method.name}, {self.length:,} {unit}, {self.runs} runs"


@dataclass(frozen=True)
class Source:
    """Where the upper end starts: unconstrained points for the pilot and the end."""

    early: np.ndarray | None
    late: np.ndarray | None
    kind: str
    troubles: tuple[str, ...] = ()
    trusted: bool = True  # may the guide be fitted to them?

    def pilot(self, white: Whitened) -> Float[Array, "R D"] | None:
        return _whiten(white, self.early if self.late is not None else None)

    def final(self, white: Whitened) -> Float[Array, "R D"] | None:
        return _whiten(white, self.late)

    def refit(self, fit: Fit | None) -> Fit:
        """To the draws, where there is one mode or none was found."""
        usable = self.early is not None and len(self.early) > 2 * self.early.shape[1]
        if fit is not None and (fit.num > 1 or not usable or not self.trusted):
            return fit
        if not usable:
            raise ValueError(
                "No mode with finite curvature was found from any start, and there are "
                "too few draws to fit a guide to. Reparameterise (a non-centred form), "
                "pass `draws`, or another `example`."
            )
        assert self.early is not None
        fresh = moments(self.early)
        return fresh if fit is None else replace(fresh, flat=fit.flat)


def _whiten(white: Whitened, points: np.ndarray | None) -> Float[Array, "R D"] | None:
    if points is None:
        return None
    return jax.vmap(white.whiten)(jnp.asarray(points, white.loc.dtype))


def _fit(key, problem: Problem, target: LogJoint, num: int) -> Fit | None:
    first = target.unconstrain(target.example)
    if not np.all(np.isfinite(first)):
        raise ValueError(
            "`example` breaks a constraint; expected parameters inside their support, "
            f"got {problem.example}."
        )
    skey, pkey = jr.split(key)
    value = float(target.log_prob(key, first))
    many = jax.jit(jax.vmap(lambda u: target.log_prob(key, u)))
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
    return fit


def _source(
    key, problem: Problem, target: LogJoint, fit: Fit | None, draws: Any, runs: int
) -> Source:
    exact = problem.exact
    if exact is not None:
        sample = jax.jit(jax.vmap(lambda k: target.unconstrain(exact(k))))
        early = np.asarray(sample(jr.split(jr.fold_in(key, 0), 500)))
        late = np.asarray(sample(jr.split(jr.fold_in(key, 1), runs)))
        return Source(early, late, CERTIFIED)
    if draws is None or (isinstance(draws, Nuts) and problem.gradient_free):
        return Source(None, None, ASYMPTOTIC)
    if isinstance(draws, Nuts):
        kept = _own_draws(key, target, fit, draws)
    else:
        kept = diagnosed(unconstrained_draws(target, draws))
    troubles = [kept.trouble] if kept.trouble else []
    early, _ = kept.split()
    missed = missed_modes(fit, early) if fit is not None else 0.0
    if missed > 0.01:
        troubles.append(
            f"the draws miss modes that hold about {missed:.0%} of the evidence: the "
            "upper end can lie below the truth"
        )
    late = kept.spaced(runs)
    if len(late) < _LEAST_RUNS:
        troubles.append(f"only {len(late)} draws count as independent: draw more")
        late = kept.split()[1][:: max(1, len(early) // _LEAST_RUNS)][:runs]
    return Source(early, late, ASYMPTOTIC, tuple(troubles), trusted=not troubles)


def _own_draws(key, target: LogJoint, fit: Fit | None, settings: Nuts) -> Draws:
    """NUTS in coordinates whitened by the fit, from overdispersed starts."""
    dim = target.size
    if fit is None:
        loc, scale = np.asarray(target.unconstrain(target.example)), np.eye(dim)
        centres = np.repeat(loc[None], settings.chains, axis=0)
    else:
        loc, scale = fit.pooled()
        # Each chain starts at the next mode: chains that never meet give it away.
        centres = fit.locs[np.arange(settings.chains) % fit.num]
    cast = lambda a: jnp.asarray(a, target.dtype)
    white = Whitened(target, cast(loc), cast(scale))
    nkey, skey = jr.split(key)
    jitter = 1.5 * jr.normal(skey, (settings.chains, dim), target.dtype)
    positions = jax.vmap(white.whiten)(cast(centres)) + jitter
    found = nuts(nkey, white, positions, settings)
    values = np.asarray(jax.vmap(jax.vmap(white.colour))(jnp.asarray(found.values)))
    return replace(found, values=values)


def _trials(key, problem: Problem, white: Whitened, fit: Fit, points):
    """Methods in the order of what they cost to try."""
    proposal = proposal_of(fit, white.whiten, np.asarray(white.scale_tril))
    trial = lambda i, method: try_out(jr.fold_in(key, i), method, white, points)
    # What JAX cannot look into is evaluated point by point, on the host.
    pilot = 256 if problem.gradient_free else 2048
    yield lambda: trial(0, importance(proposal, pilot))
    how = moves(white.loc.shape[0], gradient_free=problem.gradient_free)
    schedule = scheduled(jr.fold_in(key, 1), white, proposal, how)
    yield lambda: trial(2, annealed(proposal, schedule, how))
    yield lambda: trial(3, sequential(proposal, schedule, how))


def _evidence(
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
    lower = End(log_z, -1, BOUND, plan.level)
    upper, upper_z = None, None
    if high is not None:
        upper_z = np.asarray(high.log_z, float)
        upper = End(upper_z, +1, source.kind, plan.level)
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
