"""The papers' experiments as typed presets, one per table row."""

import importlib

from .experiment import Preset

MODULES = ("energy_inspired", "annealed", "hierarchical", "buffered")


def presets() -> dict[str, Preset]:
    """Every preset by name, in the order of the papers' tables."""
    found: dict[str, Preset] = {}
    for module in MODULES:
        for preset in importlib.import_module(f"{__name__}.{module}").PRESETS:
            if preset.name in found:
                raise ValueError(f"two presets are called {preset.name!r}")
            found[preset.name] = preset
    return found
