"""`taut reproduce --grid`: a row's settings, chosen by validation among the paper's."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation import gather, lower_end
from ..papers.experiment import seeded_choice
from ..rundir import Run
from .exits import Misuse
from .running import CHOICE, Plan, restored, stream
from .train import trained_there


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
    known = record.summary().get("grid_score")
    if known is None:
        splits = settings.data()
        if splits.valid is None:
            raise Misuse(f"{plan.preset.name} keeps no validation data to choose by.")
        model, state, _ = restored(plan, splits, record)
        images = seeded_choice(splits.valid, settings.test_images)
        target = lambda parts, key: settings.shared(parts[0], parts[1], key)
        parts = model, state
        key = stream(0, CHOICE)
        blocks = lower_end(key, target, parts, images, settings.samples)
        known = float(np.mean(gather(list(blocks)).value))
        record.summarise({"grid_score": known})
    return known
