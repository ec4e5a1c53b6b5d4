"""Guides with the moments of draws: a Gaussian, or a Student where tails are heavy."""

from dataclasses import replace

import numpy as np
from scipy.linalg import solve_triangular

from .fit import Fit, moments

_DEGREES = 3.0
_ROUNDS = 30


def student(draws: np.ndarray) -> Fit:
    """The multivariate Student of greatest likelihood, by EM over its own weights."""
    n, dim = draws.shape
    fit = moments(draws)
    loc, scale = fit.locs[0], fit.scale_trils[0]
    share = dim / (dim + n)
    for _ in range(_ROUNDS):
        white = solve_triangular(scale, (draws - loc).T, lower=True)
        w = (_DEGREES + dim) / (_DEGREES + np.sum(white**2, axis=0))
        loc = w @ draws / w.sum()
        shift = draws - loc
        cov = np.einsum("n,ni,nj->ij", w, shift, shift) / n
        cov = (1 - share) * cov + share * np.diag(np.diagonal(cov))
        scale = np.linalg.cholesky(cov)
    return replace(
        fit, locs=loc[None], scale_trils=scale[None], degrees_of_freedom=_DEGREES
    )


def by_draws(draws: np.ndarray, other: Fit | None = None) -> Fit:
    """Of a Gaussian, a Student and `other`, the one that is fitted to half of the draws
    and says most about the other half; then fitted to all.
    """
    # Halves of the chains, so that the halves are independent.
    known, unknown = np.array_split(draws, 2)
    score = lambda fit: float(np.mean(fit.log_density(unknown)))
    makers = (moments, student)
    best = max(makers, key=lambda make: score(make(known)))
    if other is None:
        return best(draws)
    if score(other) >= score(best(known)):
        return other
    return replace(best(draws), flat=other.flat, unseen=other.unseen)
