"""Figure 3: the test bound against K (SNIS prior) and T (HIS prior), static MNIST."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...report import sweeps
from ...rundir import environment, write_json
from . import running
from .curves import figure3
from .settings import AbstractEnergyExperiment

STEPS = {"quick": 3000, "medium": 60_000, "full": 10_000_000}


def draw(folder: Path, budget: str, steps: int | None = None) -> None:
    """Train every K and T; runs that are in the file already are kept."""
    path = folder / "energy-inspired-figure3.json"
    steps = STEPS[budget] if steps is None else steps
    for preset in figure3():
        found = json.loads(path.read_text()) if path.exists() else {}
        old = found.get(preset.name, {})
        if (old.get("budget"), old.get("steps")) == (budget, steps):
            continue
        settings = preset.budgets[budget]
        assert isinstance(settings, AbstractEnergyExperiment)
        settings = replace(settings, steps=steps)
        outcome = running.train(settings, 0)
        found[preset.name] = {
            "row": preset.row,
            "budget": budget,
            "steps": steps,
            "seed": 0,
            "bounds": running.bounds(outcome, 0),
            "environment": {
                k: v for k, v in environment().items() if k in ("device", "revision")
            },
        }
        write_json(path, found)
        picture(folder, found)


def picture(folder: Path, found: Mapping[str, Any]) -> None:
    """The test bound against K, and against T."""
    lines: dict[str, tuple[list[int], list[float]]] = {}
    for name, row in found.items():
        law, value = name.removeprefix("sweep-").split("-")  # snis-k16, his-t5
        at, values = lines.setdefault(
            f"{law.upper()} prior: {value[0].upper()}", ([], [])
        )
        at.append(int(value[1:]))
        values.append(row["bounds"]["test"]["mean"])
    text = sweeps(lines, ylabel="test bound, nats")
    (folder / "energy-inspired-figure3.svg").write_text(text)
