"""Two rows on the same test examples, seed by seed: `docs/results/PAPER-pairs.json`."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..papers.experiment import Preset
from ..rundir import write_json
from .train import default_folder

FILE = "evaluation-{bound}.npz"
BOUNDS = {"iwae": "Paired differences", "ais": "Paired differences by annealing"}

HEAD = """## {title}

The first row's lower end less the second's, per seed, on the same test examples, and
the mean with two errors that are never merged: over seeds, and over examples.

| first | second | budget | by seed | mean | error, seeds | error, examples |
|---|---|---|---|---|---|---|
"""


def update(
    path: Path, runs: Path, presets: Sequence[Preset], budget: str, seeds: int
) -> None:
    """Put all pairs of rows of one data set into the file; more seeds win."""
    known = {_name(pair): pair for pair in read(path)}
    for bound in BOUNDS:
        values = {p.name: _values(p, runs, budget, seeds, bound) for p in presets}
        about = {"budget": budget} | ({} if bound == "iwae" else {"bound": bound})
        for first, second in itertools.combinations(presets, 2):
            a, b = values[first.name], values[second.name]
            if first.dataset == second.dataset and a is not None and b is not None:
                pair = {"first": first.name, "second": second.name} | about
                fewer = len(known.get(_name(pair), {}).get("by_seed", []))
                if a.shape == b.shape and seeds >= fewer:
                    known[_name(pair)] = pair | difference(a, b)
    if known:
        write_json(path, list(known.values()))


def difference(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """Of scores by seed and example."""
    by_seed, by_example = np.mean(a - b, axis=1), np.mean(a - b, axis=0)
    error = lambda x: float(np.std(x, ddof=1) / len(x) ** 0.5) if len(x) > 1 else None
    return {
        "by_seed": by_seed.tolist(),
        "mean": float(np.mean(by_seed)),
        "se_seeds": error(by_seed),
        "se_examples": error(by_example),
        "examples": len(by_example),
    }


def read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text()) if path.exists() else []


def table(path: Path) -> str | None:
    """All pairs, as Markdown: a table for each bound."""
    number = lambda value: "–" if value is None else f"{value:.2f}"
    tables = []
    for bound, title in BOUNDS.items():
        lines = [
            f"| {p['first']} | {p['second']} | {p['budget']} "
            f"| {', '.join(f'{d:+.2f}' for d in p['by_seed'])} | {p['mean']:+.2f} "
            f"| {number(p['se_seeds'])} | {number(p['se_examples'])} |"
            for p in read(path)
            if p.get("bound", "iwae") == bound
        ]
        if lines:
            tables.append(HEAD.format(title=title) + "\n".join(lines) + "\n")
    return "\n".join(tables) or None


def _name(pair: dict[str, Any]) -> tuple[str, ...]:
    return pair["first"], pair["second"], pair["budget"], pair.get("bound", "iwae")


def _values(
    preset: Preset, runs: Path, budget: str, seeds: int, bound: str
) -> np.ndarray | None:
    """By seed and example; `None` where one of the runs is not there."""
    folders = [runs / default_folder(preset, budget, s).name for s in range(seeds)]
    files = [folder / FILE.format(bound=bound) for folder in folders]
    if not all(file.is_file() for file in files):
        return None
    found = [np.load(file)["value"] for file in files]
    same = len({value.shape for value in found}) == 1
    return np.stack(found).astype(np.float64) if same else None
