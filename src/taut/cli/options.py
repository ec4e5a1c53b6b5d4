"""From the words of a command line to presets and settings."""

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from ..papers import presets
from ..papers.experiment import AbstractExperiment, Preset
from .exits import Misuse

T = TypeVar("T")
BUDGETS = ("quick", "medium", "full")
CONFIG = (tyro.conf.FlagCreatePairsOff,)  # a switch that is off has no `--no-...`


def nearest(what: str, name: str, known: Iterable[str], see: str) -> Misuse:
    """The error for a name that is not there, with the names closest to it."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    return Misuse(f"there is no {what} {name!r}.{hint} `{see}` lists them all.")


def find_preset(name: str) -> Preset:
    known = presets()
    if name not in known:
        raise nearest("experiment", name, known, "taut experiments")
    return known[name]


def settings_at(preset: Preset, budget: str) -> AbstractExperiment:
    if budget not in preset.budgets:
        have = ", ".join(preset.budgets)
        raise Misuse(f"{preset.name} has no budget {budget!r}; it has {have}.")
    return preset.budgets[budget]


def parse(kind: type[T], argv: Sequence[str], prog: str) -> T:
    """Options as fields of a dataclass; `--help` shows their docstrings."""
    return tyro.cli(kind, args=list(argv), prog=prog, config=CONFIG)


def parse_with_settings(
    kind: type[T], argv: Sequence[str], prog: str, preset: Preset
) -> tuple[T, AbstractExperiment]:
    """Options of the command, and the preset's settings with any of them overridden.

    The budget picks the settings that the flags then override, so it is read first.
    """
    early, _ = tyro.cli(
        kind,
        args=list(argv),
        return_unknown_args=True,
        add_help=False,
        config=CONFIG,
    )
    settings = settings_at(preset, early.budget)  # type: ignore[attr-defined]
    flat = tyro.conf.arg(name="")  # no prefix at this level, prefixes below it
    both = dataclasses.make_dataclass(
        "Both",
        [
            ("options", Annotated[kind, flat], dataclasses.field()),
            ("settings", Annotated[type(settings), flat], settings),
        ],
    )
    config = (tyro.conf.AvoidSubcommands, *CONFIG)
    parsed: Any = tyro.cli(both, args=list(argv), prog=prog, config=config)
    return parsed.options, parsed.settings


def existing_run(folder: Path) -> Path:
    """A folder that `taut train` made."""
    if not (folder / "config.json").is_file():
        raise Misuse(
            f"{folder} is not a run: it has no config.json. "
            "`taut train NAME --out FOLDER` makes one."
        )
    return folder
