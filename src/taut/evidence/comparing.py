"""Posterior model probabilities and Bayes factors from evidences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .result import Evidence


@dataclass(frozen=True)
class Comparison:
    """Models of the same data, with equal prior probabilities unless said otherwise.

    Intervals follow from both ends of every evidence: a model is at its least where
    its own lower bound meets the upper bounds of the others.
    """

    names: tuple[str, ...]
    log_prior: np.ndarray
    estimate: np.ndarray  # of each log evidence
    low: np.ndarray  # confidence bounds from below
    high: np.ndarray  # from above; infinite where there is no upper end
    reasons: tuple[str, ...] = ()

    @property
    def probabilities(self) -> np.ndarray:
        """Of the models given the data."""
        return _softmax(self.estimate + self.log_prior)

    @property
    def intervals(self) -> list[tuple[float, float]]:
        """For each probability: at least, and at most."""
        models = range(len(self.names))
        least = [self._probability(i, self.low, self.high) for i in models]
        most = [self._probability(i, self.high, self.low) for i in models]
        return list(zip(least, most))

    def _probability(self, i: int, own: np.ndarray, others: np.ndarray) -> float:
        """Of one model, with its log evidence from `own`, those of others elsewhere."""
        log_evidence = np.array(others, float)
        log_evidence[i] = own[i]
        if np.isposinf(own[i]):
            return 1.0
        if np.any(np.isposinf(log_evidence)):
            return 0.0
        return float(_softmax(log_evidence + self.log_prior)[i])

    def log_bayes_factor(
        self, first: str, second: str
    ) -> tuple[float, tuple[float, float]]:
        """`log p(data | first) - log p(data | second)`, and its interval."""
        i, j = self._index(first), self._index(second)
        value = float(self.estimate[i] - self.estimate[j])
        low = float(self.low[i] - self.high[j])
        return value, (low, float(self.high[i] - self.low[j]))

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise ValueError(f"There is no model {name!r}; there are {self.names}.")
        return self.names.index(name)

    def __str__(self):
        width = max(map(len, self.names))
        rows = [
            f"{name:>{width}}  {p:.4f}  [{low:.4f}, {high:.4f}]"
            for name, p, (low, high) in zip(
                self.names, self.probabilities, self.intervals
            )
        ]
        return "\n".join([*rows, *self.reasons])


def compare(
    evidences: Mapping[str, Evidence] | Sequence[Evidence],
    *,
    prior: Sequence[float] | None = None,
) -> Comparison:
    """Which model do the data prefer? Refuses evidences of different data."""
    if not isinstance(evidences, Mapping):
        evidences = {f"model {i + 1}": e for i, e in enumerate(evidences)}
    if len(evidences) < 2:
        raise ValueError(f"Expected at least two models; got {len(evidences)}.")
    digests = {e.data_digest for e in evidences.values()}
    if None in digests:
        raise ValueError(
            "Evidences compare only on the same data, and one of these does not say "
            "which data it saw: give `data=` to `sandwich`."
        )
    if len(digests) > 1:
        raise ValueError(
            "These evidences are of different data (their digests differ), so their "
            "ratio means nothing. Rerun all models on the same data."
        )
    weights = np.ones(len(evidences)) if prior is None else np.asarray(prior, float)
    if weights.shape != (len(evidences),) or not np.all(weights > 0):
        raise ValueError(
            f"Expected {len(evidences)} positive prior weights; got {prior}."
        )
    results = list(evidences.values())
    reasons = tuple(
        f"{name}: {e.verdict}"
        for name, e in evidences.items()
        if e.verdict.word in ("do not trust", "lower only")
    )
    return Comparison(
        tuple(evidences),
        np.log(weights / weights.sum()),
        np.array([e.estimate.value for e in results]),
        np.array([e.lower.bound for e in results]),
        np.array([math.inf if e.upper is None else e.upper.bound for e in results]),
        reasons,
    )


def _softmax(x: np.ndarray) -> np.ndarray:
    w = np.exp(x - np.max(x))
    return w / w.sum()
