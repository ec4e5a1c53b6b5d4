"""Presets; see the module of the same name in `docs/`."""

from .experiment import Preset

PRESETS: tuple[Preset, ...] = ()
