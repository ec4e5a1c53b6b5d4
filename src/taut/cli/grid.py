"""`taut reproduce --grid`: a row's settings, chosen by validation among the paper's."""

import dataclasses
from pathlib import Path
from typing import Any

import jax.random as jr
import numpy as np

from ..evaluation import gather, lower_end
from ..papers.experiment import seeded_choice
from ..rundir import Run
from .exits import Misuse
from .running import Plan, train, trained
from .train import train_into


def trained_there(plan: Plan, folder: Path, *, quiet: bool) -> None:
    """Train in that folder, go on with what is there, or leave it if it is done."""
    there = (folder / "config.json").is_file()
    summary = Run.open(folder).summary() if there else {}
    # Early stopping ends a run, too.
    done = summary.get("stopped_early") or summary.get("step", 0) >= plan.settings.steps
    if not done:
        train_into(plan, folder, resume=there, quiet=quiet)


def chosen(plan: Plan, folder: Path, *, quiet: bool) -> tuple[Path, dict[str, Any]]:
    """The folder of the best point by validation, and all scores. Points that are
    there already are not trained again.
    """
    if plan.preset.grid is None:
        raise Misuse(f"{plan.preset.name} has no grid; leave `--grid` out.")
    scores: dict[str, float] = {}
    for i, settings in enumerate(plan.preset.grid(plan.settings)):
        here = folder.with_name(f"{folder.name}-grid{i:02d}")
        point = dataclasses.replace(plan, settings=settings)
        trained_there(point, here, quiet=quiet)
        scores[here.name] = validated(point, here)
    best = max(scores, key=lambda name: scores[name])
    return folder.with_name(best), {"chosen": best, "validation": scores}


def validated(plan: Plan, folder: Path) -> float:
    """The lower end on validation examples, as on the test ones; kept in the folder."""
    record, settings = Run.open(folder), plan.settings
    known = record.summary().get("validation")
    if known is None:
        splits = settings.data()
        if splits.valid is None:
            raise Misuse(f"{plan.preset.name} keeps no validation data to choose by.")
        parts = trained(train(plan, splits, record, steps=0))
        images = seeded_choice(splits.valid, settings.test_images)
        target = lambda parts, key: settings.shared(parts[0], parts[1], key)
        blocks = lower_end(jr.key(0), target, parts, images, settings.samples)
        known = float(np.mean(gather(list(blocks)).value))
        record.summarise({"validation": known})
    return known
