"""What must not pass in silence: each guard has its own words."""

from collections.abc import Callable

import numpy as np

from .fit import MOST_UNSEEN, Fit
from .result import CERTIFIED, End, Verdict
from .statistics import crossing

_SIGMAS = 4.0
_LEAST_ESS = 10.0
_MOST_KHAT = 0.7
_MOST_INVALID = 0.01
_FLAT = 1e-8


def check_normalises(
    log_prob: Callable[[np.ndarray], np.ndarray], mode: np.ndarray, rng
) -> None:
    """Refuse a log joint that stays level along a ray: its integral is infinite.

    `log_prob` maps points (n, D) to values (n,). Along a ray `s v` an integrand that
    has a finite integral falls faster than 1/s, unless it narrows or is unbounded.
    """
    dim = len(mode)
    random = rng.standard_normal((min(4 * dim, 64), dim))
    axes = np.eye(dim)[: min(dim, 64)]
    away = mode[None] if np.linalg.norm(mode) > 0 else np.zeros((0, dim))
    rays = np.concatenate([away, axes, -axes, random])
    rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    reach = max(1e3, 10 * float(np.linalg.norm(mode)))
    near = log_prob(mode + reach * rays)
    far = log_prob(mode + 100 * reach * rays)
    # From s to 100 s: level means a change of about 0, falling means below -log 100.
    with np.errstate(invalid="ignore"):
        change = far - near
    level = np.isfinite(near) & np.isfinite(far) & (np.abs(change) < 1e-3)
    if np.any(level):
        ray = rays[np.argmax(level)]
        shown = np.array2string(ray[:6], precision=2, suppress_small=True)
        raise ValueError(
            "The evidence is infinite: the log joint stays level however far the "
            f"parameters move along {shown}{'...' if dim > 6 else ''} (unconstrained "
            "coordinates). Give every parameter a proper prior. Separable data in a "
            "logistic regression, and parameters that the log joint ignores, do this."
        )


def missed_modes(fit: Fit, draws: np.ndarray) -> float:
    """The share of the fitted modes' weight at which no draw was found."""
    if fit.vague:
        return 0.0
    densities = []
    for loc, scale in zip(fit.locs, fit.scale_trils):
        white = np.linalg.solve(scale, (draws - loc).T)
        densities.append(
            -0.5 * np.sum(white**2, axis=0) - np.sum(np.log(np.diagonal(scale)))
        )
    nearest = np.argmax(np.array(densities), axis=0)
    weight = np.exp(fit.log_weights)
    found = np.bincount(nearest, minlength=fit.num)
    missing = (found == 0) & (weight * len(draws) > 10)
    return float(weight[missing].sum())


def judge(
    lower: End,
    upper: End | None,
    *,
    ess: float,
    khat: float,
    invalid: int,
    infinite: int,
    rejected: float,
    particles: int,
    counting: bool,
    fit: Fit,
    troubles: tuple[str, ...],
    notes: tuple[str, ...],
) -> Verdict:
    """The word, by the first rule that holds, and every reason that was found.

    do not trust: any guard below; certified: draws are exact; asymptotic: they are
    MCMC draws; lower only: there are none.
    """
    bad = list(troubles)
    if not np.isfinite(lower.value):
        bad.append("some runs found no point of positive density")
    if upper is not None and crossing(lower.log_z, upper.log_z) > _SIGMAS:
        bad.append(
            "the ends cross by more than noise: the draws are not from this posterior, "
            "or miss part of it, or the log joint is not one function"
        )
    if infinite:
        bad.append(f"{infinite:,} of {particles:,} weights are infinite")
    if invalid > _MOST_INVALID * particles:
        bad.append(
            f"the log joint was NaN for {invalid:,} of {particles:,} particles "
            "(counted as zero density)"
        )
    if rejected > _MOST_INVALID:
        bad.append(
            f"the log joint was NaN at {rejected:.1%} of the points that were proposed "
            "(counted as zero density)"
        )
    if counting and lower.bound > 0:
        bad.append("the evidence of counted data is above 1: a term is wrong")
    if ess < _LEAST_ESS:
        bad.append(f"only {ess:.1f} effective weights: one of them dominates")
    said = list(notes)
    if fit.flat < _FLAT:
        said.append("a direction is nearly flat: only the prior holds it")
    if fit.unseen > MOST_UNSEEN and upper is not None and upper.kind != CERTIFIED:
        said.append("starts still meet new modes: others may be missing from draws")
    if invalid and invalid <= _MOST_INVALID * particles:
        said.append(f"{invalid:,} of {particles:,} particles met NaN, counted as zero")
    if 0 < rejected <= _MOST_INVALID:
        said.append(f"{rejected:.2g} of the proposed points were NaN, never accepted")
    if khat > _MOST_KHAT:
        said.append(f"weights are heavy-tailed (k-hat {khat:.2f}): a longer run helps")
    if bad:
        return Verdict("do not trust", (*bad, *said))
    if upper is None:
        return Verdict("lower only", ("nothing bounds the evidence from above", *said))
    if upper.kind == CERTIFIED:
        return Verdict("certified", ("the upper end starts at exact draws", *said))
    return Verdict(
        "asymptotic",
        (
            "the upper end is as good as the MCMC draws it starts at; if they miss a "
            "mode it can lie below the truth",
            *said,
        ),
    )
