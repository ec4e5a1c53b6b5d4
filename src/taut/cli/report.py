"""`taut report`: one self-contained page about runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from ..report import Figure, Page, Row, curves, ends, examples, render
from ..rundir import Run
from .exits import Misuse
from .options import existing_run, parse
from .progress import console
from .running import plan_of


@dataclass(frozen=True)
class Options:
    """Write one self-contained HTML page about runs."""

    runs: Annotated[tuple[Path, ...], Positional, arg(metavar="RUN...")]
    """Folders that `taut train` made; what `taut sample` drew there is shown, too."""
    out: Path = Path("report.html")
    """The page."""
    quiet: bool = False
    """Say nothing."""


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut report")
    folders = [existing_run(folder) for folder in options.runs]
    if not folders:
        raise Misuse("say which runs: `taut report RUN...`.")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(render(page_of(folders)))
    if not options.quiet:
        console.print(f"Wrote {options.out}")


def page_of(folders: Sequence[Path]) -> Page:
    """Tables, curves, samples, settings and environments of all runs."""
    names = labels(folders)
    records = {name: Run.open(folder) for folder, name in names.items()}
    rows = [row_of(folder, name) for folder, name in names.items()]
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
    for folder, name in names.items():
        if (folder / "samples.npz").exists():
            picture = examples(np.load(folder / "samples.npz")["samples"], 50)
            if picture:
                figures.append(Figure(f"Samples: {name}", picture))
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


def labels(folders: Sequence[Path]) -> dict[Path, str]:
    """The ends of their paths, as long as it takes to tell them apart."""
    paths, depth = {f: f.absolute().parts for f in folders}, 1
    while len({path[-depth:] for path in paths.values()}) < len(set(paths.values())):
        depth += 1
    return {f: "/".join(path[-depth:]) for f, path in paths.items()}


def row_of(folder: Path, name: str) -> Row:
    """What the table says of one run."""
    preset, summary = plan_of(folder).preset, Run.open(folder).summary()
    found = summary.get("evaluation")
    published = f"{preset.published.value:g}" if preset.published else None
    if found is None:
        return Row(
            f"{name} (not evaluated)", None, published=published, note=preset.row
        )
    both = found.get("simulated", {})
    return Row(
        name,
        found["lower"]["mean"],
        found["lower"]["se_examples"],
        both["upper"]["mean"] if both else None,
        both["lower"]["mean"] if both else None,
        published=published,
        note=preset.row + ("" if preset.bound else " (an estimate, not a bound)"),
    )


def _histories(records: dict[str, Run]) -> dict[str, dict[str, tuple]]:
    """By metric, by run (and phase): steps and values."""
    found: dict[str, dict[str, tuple]] = {}
    for name, record in records.items():
        metrics = [row for row in record.metrics() if "step" in row]
        for what in ("bound", "loss"):
            keys = [k for row in metrics[-1:] for k in row if k.split("/")[-1] == what]
            for key in keys:
                told = [r for r in metrics if isinstance(r.get(key), float)]
                phase = "" if key == what else f", {key.removesuffix('/' + what)}"
                curve = ([r["step"] for r in told], [r[key] for r in told])
                found.setdefault(what, {})[name + phase] = curve
            if keys:
                break
    return found
