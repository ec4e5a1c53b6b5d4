"""`taut report`: one self-contained page about runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from ..report import Figure, Page, Row, curves, ends, images, render
from ..rundir import Run
from .options import existing_run, parse
from .progress import console
from .running import plan_of


@dataclass(frozen=True)
class Options:
    """Write one self-contained HTML page about runs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders that `taut train` made."""
    out: Path = Path("report.html")
    """The page."""
    quiet: bool = False
    """Say nothing."""


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut report")
    folders = [existing_run(folder) for folder in options.runs]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(render(page_of(folders)))
    if not options.quiet:
        console.print(f"Wrote {options.out}")


def page_of(folders: Sequence[Path]) -> Page:
    """Tables, curves, samples, settings and environments of all runs."""
    records = {folder.name: Run.open(folder) for folder in folders}
    rows = [row_of(folder) for folder in folders]
    figures = [
        Figure("Training", curves(histories, ylabel=what), "Means between reports.")
        for what, histories in _histories(records).items()
    ]
    both = {
        r.name: (r.simulated_lower, r.upper)
        for r in rows
        if r.upper is not None and r.simulated_lower is not None
    }
    if both:
        caption = "Mean over examples simulated from each model; certified."
        figures.append(Figure("Both ends", ends(both), caption))
    for folder in folders:
        if (folder / "samples.npz").exists():
            drawn = np.load(folder / "samples.npz")["samples"]
            if drawn.ndim >= 3:
                scaled = drawn[:50] / max(1.0, drawn.max())
                figures.append(Figure(f"Samples: {folder.name}", images(scaled)))
    details: dict[str, Any] = {}
    for name, record in records.items():
        details[f"{name}: settings"] = record.config()
        details[f"{name}: results"] = record.summary()
        details[f"{name}: environment"] = record.environment()
    intro = (
        "Mean log-likelihoods in nats. The lower end is on test examples; both ends "
        "together are on examples simulated from the model, where the upper end is "
        "certified."
    )
    return Page("taut report", intro, rows, figures, details)


def row_of(folder: Path) -> Row:
    """What the table says of one run."""
    preset, summary = plan_of(folder).preset, Run.open(folder).summary()
    found = summary.get("evaluation")
    published = f"{preset.published.value:g}" if preset.published else None
    if found is None:
        name = f"{folder.name} (not evaluated)"
        return Row(name, None, published=published, note=preset.row)
    both = found.get("simulated", {})
    return Row(
        folder.name,
        found["lower"]["mean"],
        found["lower"]["se_examples"],
        both["upper"]["mean"] if both else None,
        both["lower"]["mean"] if both else None,
        published=published,
        note=preset.row + ("" if preset.bound else " (an estimate, not a bound)"),
    )


def _histories(records: dict[str, Run]) -> dict[str, dict[str, tuple]]:
    """By metric, by run: steps and values."""
    found: dict[str, dict[str, tuple]] = {}
    for name, record in records.items():
        metrics = [row for row in record.metrics() if "step" in row]
        for what in ("bound", "loss"):
            told = [r for r in metrics if isinstance(r.get(what), float)]
            if told:
                steps = [r["step"] for r in told]
                found.setdefault(what, {})[name] = (steps, [r[what] for r in told])
                break
    return found
