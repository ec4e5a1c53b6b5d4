"""Early stopping on a number that the user computes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import PRNGKeyArray


@dataclass(frozen=True)
class Validation:
    """Call `score(key, params, state) -> number` (higher is better, as a bound is)
    every `every` steps, always with the same key and with the averaged parameters
    where there are any. Training stops when the best score is `patience`
    validations old; the best parameters are kept."""

    score: Callable[[PRNGKeyArray, Any, Any], Any]
    every: int
    patience: int | None = None

    def exhausted(self, step: int, best_step: int) -> bool:
        """Whether the best score is too old."""
        if self.patience is None:
            return False
        return step - best_step >= self.patience * self.every
