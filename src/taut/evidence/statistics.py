"""From log weights to intervals and estimates. NumPy only: nothing here is random
but the bootstrap, which takes its own generator.
"""

import math
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import t as student


def log_sum_exp(log_weight: np.ndarray) -> float:
    """Log of the sum of `exp(log_weight)`."""
    return float(np.logaddexp.reduce(log_weight, axis=None))


def log_mean_exp(log_weight: np.ndarray) -> float:
    """Log of the average of `exp(log_weight)`."""
    return log_sum_exp(log_weight) - math.log(np.size(log_weight))


def effective(log_weight: np.ndarray) -> float:
    """Effective number of weights, `(sum w)^2 / sum w^2`."""
    if not np.any(np.isfinite(log_weight)):
        return 0.0
    return math.exp(2 * log_sum_exp(log_weight) - log_sum_exp(2 * log_weight))


def standard_error(values: np.ndarray) -> float:
    """Of the mean of independent values."""
    if not np.all(np.isfinite(values)):
        return math.inf
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def mean_bound(values: np.ndarray, level: float, side: int) -> float:
    """A one-sided confidence bound for the mean: from below (-1) or above (+1).

    Student's bound with the skewness correction of Johnson (1978): log weights have a
    long tail on the side that matters, and Student's bound alone is too tight there.
    """
    n, mean = len(values), float(np.mean(values))
    spread = float(np.std(values, ddof=1)) if math.isfinite(mean) else 0.0
    if spread == 0:
        return mean
    quantile = student.ppf(level, n - 1)
    third = n * np.sum((values - mean) ** 3) / ((n - 1) * (n - 2))
    shift = third * (1 + 2 * quantile**2) / (6 * spread**2 * n)
    return mean + side * quantile * spread / np.sqrt(n) + shift


def bennett(forward: np.ndarray, reverse: np.ndarray) -> float:
    """Bennett's acceptance ratio (1976) on paired log weights.

    `forward` are `log Z_hat` of runs, `reverse` those of conditional runs. Since
    `E_run[Z_hat h(Z_hat)] = Z E_conditional[h(Z_hat)]`, with `h = 1 / (c + Z_hat)` and
    the best `c`, Z solves one increasing equation.
    """
    offset = np.log(len(reverse) / len(forward))

    def excess(log_z):
        lower = np.sum(expit(forward - log_z + offset))
        upper = np.sum(expit(log_z - reverse - offset))
        return upper - lower

    both = np.concatenate([forward, reverse])
    both = both[np.isfinite(both)]
    low, high = float(both.min()) - 50.0, float(both.max()) + 50.0
    root: Any = brentq(excess, low, high, xtol=1e-10)
    return float(root)


def bootstrap_error(
    forward: np.ndarray,
    reverse: np.ndarray,
    rng: np.random.Generator,
    num: int = 200,
) -> float:
    """Standard error of `bennett`, with forward runs and exact draws resampled.

    A conditional run is one block: all that was computed from one draw.
    """
    pick = lambda values: values[rng.integers(len(values), size=len(values))]
    again = [bennett(pick(forward), pick(reverse)) for _ in range(num)]
    return float(np.std(again, ddof=1))


def crossing(forward: np.ndarray, reverse: np.ndarray) -> float:
    """How many standard errors the mean of the lower end lies above the upper's."""
    error = math.hypot(standard_error(forward), standard_error(reverse))
    if not math.isfinite(error):
        return 0.0  # a lower end of -inf is judged by itself
    excess = float(np.mean(forward) - np.mean(reverse))
    return excess / max(error, 1e-12 * (1 + abs(float(np.mean(forward)))))


def pareto_khat(log_weight: np.ndarray) -> float:
    """Tail index of the weights (Vehtari et al., 2024): above 0.7 they are not to be
    averaged. Large weights are the tail: log weights go in as they are, not negated.

    The tail is fitted by the empirical Bayes estimate of Zhang and Stephens (2009).
    """
    finite = np.sort(log_weight[np.isfinite(log_weight)])
    tail = int(min(0.2 * len(finite), 3 * np.sqrt(len(finite))))
    if tail < 10 or np.ptp(finite[-tail:]) < 1e-10:
        return float("nan")
    cut = finite[-tail - 1]
    x = np.exp(finite[-tail:] - finite[-1]) - np.exp(cut - finite[-1])
    x = x[x > 0]
    n = len(x)
    num = 30 + int(np.sqrt(n))
    quartile = x[int(n / 4 + 0.5) - 1]
    grid = 1 / x[-1] + (1 - np.sqrt(num / (np.arange(1, num + 1) - 0.5))) / (
        3 * quartile
    )
    shape = np.mean(np.log1p(-grid[:, None] * x), axis=1)
    log_likelihood = n * (np.log(-grid / shape) - shape - 1)
    weight = np.exp(log_likelihood - log_sum_exp(log_likelihood))
    k = float(np.mean(np.log1p(-np.sum(weight * grid) * x)))
    # A weak prior at 0.5, worth ten observations.
    return (n * k + 10 * 0.5) / (n + 10)


def split_rhat(draws: np.ndarray) -> np.ndarray:
    """Rank-normalised split R-hat per column, of the draws or of their distances to the
    median, whichever is larger (Vehtari et al., 2021). Shape (chains, draws, columns).
    """
    from numpyro.diagnostics import split_gelman_rubin
    from scipy.stats import norm, rankdata

    def scored(x):
        ranks = rankdata(x.reshape(-1, x.shape[-1]), axis=0)
        return norm.ppf((ranks - 0.375) / (len(ranks) + 0.25)).reshape(x.shape)

    folded = np.abs(draws - np.median(draws, axis=(0, 1)))
    both = [split_gelman_rubin(scored(x)) for x in (draws, folded)]
    return np.maximum(*map(np.asarray, both))


def autocorrelation_ess(draws: np.ndarray) -> np.ndarray:
    """Effective sample size of MCMC draws per column; shape as in `split_rhat`."""
    from numpyro.diagnostics import effective_sample_size

    return np.asarray(effective_sample_size(draws))
