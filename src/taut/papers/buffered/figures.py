"""Figures 4 to 6, from runs under `runs/`, and the tables that every run also fills.

Seed 0 of each row is shown, and rows that were not run are left out.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ...report import curves, images
from ...rundir import Run
from ...train import Validation, fit
from ..experiment import Preset
from .presets import PRESETS, ROWS, TITLES
from .published import COLUMNS, COUNTS, ESTIMATORS, TEST, TRAIN

Series = dict[str, tuple[list[float], list[float]]]
RUNS = Path("runs")
KEYS = ("elbo*", "kl*", "rec*")


def found(budget: str, dataset: str, runs: Path) -> dict[str, tuple[Preset, Run]]:
    """The rows of one data set whose training has ended."""
    made = {}
    for preset in PRESETS:
        folder = runs / f"{preset.name}-{budget}-0"
        if preset.dataset != TITLES[dataset] or not (folder / "config.json").is_file():
            continue
        run = Run.open(folder)
        if "step" in run.summary():
            made[preset.row.partition(";")[0]] = (preset, run)
    return made


def over_time(run: Run, *names: str) -> Series:
    """Metrics against the step."""
    rows = run.metrics()
    steps = [row["step"] for row in rows]
    return {name: (steps, [row[name] for row in rows]) for name in names}


def figure4(folder: Path, budget: str, runs: Path = RUNS) -> None:
    """Omniglot: the bounds of training, and of validation, of every row."""
    series: Series = {}
    validated: Series = {}
    for row, (_, run) in found(budget, "omniglot", runs).items():
        series[row] = over_time(run, "bound")["bound"]
        scores = run.summary().get("validation", [])
        if scores:
            steps, values = zip(*scores)
            validated[row] = (list(steps), list(values))
    _draw(series, folder / "buffered-figure4.svg", "training bound, nats", runs)
    if validated:
        path = folder / "buffered-figure4-validation.svg"
        _draw(validated, path, "validation bound, nats", runs)


def figure5(folder: Path, budget: str, runs: Path = RUNS) -> None:
    """Omniglot: for each of three latents, eight images; SVI above BSVI-SIR."""
    rows = found(budget, "omniglot", runs)
    pictures = []
    for row in ("SVI-k'", "BSVI-k-SIR"):
        if row in rows:
            pictures.append(_samples(*rows[row]))
    if not pictures:
        raise ValueError(_missing(runs))
    grid = np.concatenate(pictures)[..., 0]
    path = folder / "buffered-figure5.svg"
    path.write_text(images(grid / max(1.0, grid.max()), columns=8))


def figure6(folder: Path, budget: str, runs: Path = RUNS) -> None:
    """The three bounds of each row on the way, and where learned weights lie."""
    for dataset in TITLES:
        bounds: Series = {}
        weights: Series = {}
        for row, (_, run) in found(budget, dataset, runs).items():
            if not row.startswith("BSVI"):
                continue
            told = over_time(run, "bound", "svi", "amortised", "weight_average")
            weights[row] = told.pop("weight_average")
            bounds |= {f"{row}: {name}": line for name, line in told.items()}
        stem = f"buffered-figure6-{dataset.replace('_', '-')}"
        if bounds:
            _draw(bounds, folder / f"{stem}.svg", "bound, nats", runs)
            _draw(weights, folder / f"{stem}-weights.svg", "average index", runs)


def _draw(series: Series, path: Path, ylabel: str, runs: Path) -> None:
    if not series:
        raise ValueError(_missing(runs))
    path.write_text(curves(series, ylabel=ylabel))


def _missing(runs: Path) -> str:
    return (
        f"no runs of this paper at this budget under {runs}: `taut reproduce buffered "
        "buffered-omniglot-bsvi-sir` makes one; run this from the same folder."
    )


def _samples(preset: Preset, run: Run) -> np.ndarray:
    """24 images: eight for each of three latents of the prior."""
    settings = preset.budgets[run.config()["budget"]]
    splits = settings.data()
    key, mkey = jr.split(jr.key(run.config()["seed"]))
    never = Validation(lambda key, params, state: 0.0, 1)
    model = fit(
        key,
        settings.make(mkey, splits),
        settings.phases(),
        jnp.asarray(splits.train),
        state=settings.state(),
        steps=0,
        batch_size=settings.batch_size,
        prepare=splits.prepare,
        validation=never if settings.validate_every else None,
        checkpoints=run.checkpoints,
    ).params

    @eqx.filter_jit
    def draw(model, keys):
        one = lambda key, z: model.likelihood(z).sample(key)
        z = jax.vmap(model.prior.sample)(jr.split(jr.key(0), 3))
        return jax.vmap(jax.vmap(one, (0, None)), (0, 0))(keys, z)

    drawn = draw(model, jr.split(jr.key(1), (3, 8)))
    return np.asarray(drawn).reshape(24, *drawn.shape[2:])


def tables(folder: Path, budget: str) -> None:
    """Tables 4 to 12 in full, ours beside the paper's, from the reports of the runs."""
    path = folder / "buffered.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    reports = {r["name"]: r["report"] for r in rows if r["budget"] == budget}
    parts = [
        f"# Results: buffered, all columns ({budget})\n\nWritten by `taut reproduce "
        f"buffered tables --budget {budget}` from [`buffered.json`](buffered.json); "
        "nats. Below `full` the network is reduced, and fewer steps and samples stand "
        "in for 500: each cell says how many, of the last seed that was run. Published "
        "numbers are in brackets. "
        "Tables 1 to 3 are four rows of Tables 4 to 6.\n"
    ]
    for offset, (dataset, title) in enumerate(TITLES.items()):
        line = lambda cells: "| " + " | ".join(cells) + " |"
        for number, part, told in ((4, "test", TEST), (7, "train", TRAIN)):
            heads = ("row", *COLUMNS)
            lines = [line(heads), "|---" * len(heads) + "|"]
            for key in ROWS:
                ours = _report(reports, dataset, key, part)
                lines.append(line(_cells(key, ours, told[dataset][key])))
            name = f"## Table {number + offset}: {title}, {part}\n"
            parts.append("\n".join([name, *lines, ""]))
        heads = ("row", "BSVI", *(f"IWAE-{n}" for n in COUNTS))
        lines = [line(heads), "|---" * len(heads) + "|"]
        for key in ROWS:
            ours = _report(reports, dataset, key, "test")
            lines.append(line(_estimators(key, ours, ESTIMATORS[dataset][key])))
        name = f"## Table {10 + offset}: {title}, estimators\n"
        parts.append("\n".join([name, *lines, ""]))
    (folder / f"buffered-tables-{budget}.md").write_text("\n".join(parts))


def _report(
    reports: Mapping[str, Any], dataset: str, key: str, part: str
) -> Mapping[str, Any]:
    name = f"buffered-{dataset.replace('_', '-')}-{key}"
    return (reports.get(name) or {}).get(part, {})


def _one(ours: Mapping[str, Any], name: str, *, told: float) -> str:
    if name not in ours:
        return f"not run ({told:.2f})"
    return f"{ours[name]['mean']:.2f} ({told:.2f})"


def _cells(key: str, ours: Mapping[str, Any], told: Any) -> list[str]:
    names = [next((n for n in ours if n.startswith("bsvi-")), "bsvi"), *KEYS]
    cells = [_one(ours, name, told=value) for name, (value, _) in zip(names, told)]
    if ours:
        cells[0] += f", {names[0].upper()}, {ours['images']} images"
    return [ROWS[key][0], *cells]


def _estimators(key: str, ours: Mapping[str, Any], told: Any) -> list[str]:
    names = [n for n in ours if n.startswith(("bsvi-", "iwae-"))]
    names += ["not run"] * (len(told) - len(names))
    cells = [_one(ours, name, told=value) for name, value in zip(names, told)]
    marked = [
        f"{name.upper()}: {cell}" if name in ours else cell
        for name, cell in zip(names, cells)
    ]
    return [ROWS[key][0], *marked]


FIGURES: dict[str, Callable[[Path, str], None]] = {
    "figure4": figure4,
    "figure5": figure5,
    "figure6": figure6,
    "tables": tables,
}
