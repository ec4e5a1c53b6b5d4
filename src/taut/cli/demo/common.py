"""What the demo's models have in common."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.density import AbstractDensity
from ...evaluation import both_ends, gather, summary
from ...report import Row

NUM = 512  # proposals of SNIS, TRS and LARS in the plane
PRIOR_NUM = 128  # of the SNIS prior of digits


@dataclass(frozen=True)
class Options:
    """Train small models, bound their likelihood from both sides, draw a report."""

    out: Path = Path("taut-demo")
    """Where index.html and summary.json go."""
    steps: int = 3000
    """Training steps of each model."""
    seed: int = 0
    """Decides every random number."""
    json: bool = False
    """Print the summary as JSON."""
    quiet: bool = False
    """No progress."""


@dataclass(frozen=True)
class Trained:
    """One model's place in the report."""

    row: Row
    history: list[dict[str, Any]]
    model: Any
    draws: np.ndarray


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    told = summary(values)
    return told["mean"], told["se_examples"]


def with_upper(
    row: Row, key, model: AbstractDensity, count: int, num: int
) -> tuple[Row, np.ndarray]:
    """The row with both ends on examples simulated from the model itself, and these."""
    draws, lower, upper = gather(list(both_ends(key, model, count, num, block=count)))
    ends = {"simulated_lower": float(lower.mean()), "upper": float(upper.mean())}
    return replace(row, **ends), draws
