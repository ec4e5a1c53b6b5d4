"""What both ends of simulated examples say of the length that made them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..evaluation import summary

_SIGMAS = 5.0
CERTIFIED = "certified: simulated together with their latents"


def sandwiched(
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    tolerance: float,
    cure: Callable[[float], str],
) -> dict[str, Any]:
    """Both ends with their gap, and whether that is within `tolerance`, two standard
    errors included; `cure` says what would help, given by how much it is too wide.
    """
    # An infinite end is correct and useless: it is counted, not averaged. A NaN is
    # neither, and leaves no mean.
    useless = np.isneginf(lower) | np.isposinf(upper)
    broken = int(np.sum(np.isnan(lower) | np.isnan(upper)))
    lower, upper = lower[~useless], upper[~useless]
    left_out, gap = int(np.sum(useless)), summary(upper - lower)
    error = gap["se_examples"]  # none where there are fewer than two examples
    most = gap["mean"] + 2 * (np.inf if error is None else error)
    # In expectation no gap is negative; a hundredth of a nat is left to rounding.
    crossed = gap["mean"] < -(_SIGMAS * (error or 0.0) + 0.01)
    enough = bool(most <= tolerance) and not left_out and not crossed
    if broken:
        verdict = f"none: NaN at {broken} examples"
    elif crossed and error is not None:
        verdict = "do not trust: the ends cross by more than noise"
    elif left_out:
        verdict = f"{CERTIFIED}; {left_out} examples have an infinite end"
    elif enough:
        verdict = f"{CERTIFIED}; long enough: within {tolerance:g} nats"
    elif error is None:
        verdict = f"{CERTIFIED}; one example does not judge a length"
    else:
        advice = cure(most / tolerance)
        verdict = f"{CERTIFIED}; too short: within {tolerance:g} nats needs {advice}"
    return {
        "left_out": left_out,
        "lower": summary(lower),
        "upper": summary(upper),
        "gap": gap,
        "tolerance": tolerance,
        "enough": enough,
        "verdict": verdict,
    }


def rounded_up(length: float) -> int:
    """To one digit: lengths are advice."""
    digit = 10 ** int(np.floor(np.log10(length)))
    return int(np.ceil(length / digit) * digit)
