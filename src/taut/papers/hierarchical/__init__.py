"""Hierarchical Importance Weighted Autoencoders (Huang et al., 2019).

K proposals share a random root, so that their importance weights can be less
correlated, or of opposite sign, where independent ones are redundant.
"""

from collections.abc import Callable
from pathlib import Path

from ..experiment import Preset
from .rows import IMAGES
from .theory import FIGURES as THEORY
from .toy_figures import FIGURES as TOY_FIGURES
from .toy_rows import TOYS

PRESETS: tuple[Preset, ...] = (*TOYS, *IMAGES)
FIGURES: dict[str, Callable[[Path, str], None]] = {**TOY_FIGURES, **THEORY}
