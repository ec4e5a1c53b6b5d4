"""Schedules of inverse temperatures as settings."""

from dataclasses import dataclass

import numpy as np

from ... import schedules


@dataclass(frozen=True)
class Sigmoid:
    """Small steps at both ends."""

    rad: float = 4.0
    """Half the range of the sigmoid."""

    def __call__(self, num: int) -> np.ndarray:
        return schedules.sigmoid(num, self.rad)


@dataclass(frozen=True)
class Geometric:
    """Equal ratios: small steps near the guide."""

    least: float = 1e-2
    """The first inverse temperature after 0."""

    def __call__(self, num: int) -> np.ndarray:
        return schedules.geometric(num, self.least)
