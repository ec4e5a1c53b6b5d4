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
    """Training steps of a model in the plane; those of digits take half of them."""
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


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    told = summary(values)
    return told["mean"], told["se_examples"]


def with_upper(row: Row, key, model: AbstractDensity, count: int, num: int) -> Row:
    """The row with both ends on examples simulated from the model itself."""
    _, lower, upper = gather(list(both_ends(key, model, count, num, block=count)))
    return replace(row, simulated_lower=float(lower.mean()), upper=float(upper.mean()))
