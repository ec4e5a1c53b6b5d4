"""`taut reproduce`: a paper's rows, trained, evaluated and tabulated by themselves."""

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from ..papers import MODULES, presets
from ..papers.experiment import Preset
from ..rundir import Run, write_json
from . import evaluate, pairs, tables
from .grid import chosen
from .options import BUDGETS, nearest, parse, settings_at
from .progress import console
from .running import Plan
from .train import default_folder, trained_there


@dataclass(frozen=True)
class Options:
    """Train, evaluate and tabulate a paper, a table, a figure or one row.

    Rows whose run is already there are not trained again; interrupted ones go on.
    """

    paper: Annotated[str, Positional, arg(metavar="PAPER")]
    """energy-inspired, annealed, hierarchical or buffered."""
    what: Annotated[str | None, Positional, arg(metavar="[WHAT]")] = None
    """A table, a figure or a row's name; all tables without it."""
    budget: str = "quick"
    """quick, medium or full."""
    seeds: int = 1
    """Runs of each row, with seeds 0, 1, ..."""
    grid: bool = False
    """Train every point of the paper's grid, and take the best by validation."""
    runs: Path = Path("runs")
    """Where the runs go."""
    results: Path = Path("docs/results")
    """Where the tables and figures go."""
    quiet: bool = False
    """No progress."""


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut reproduce")
    if options.budget not in BUDGETS:
        raise nearest("budget", options.budget, BUDGETS, "taut reproduce --help")
    rows = {n: p for n, p in presets().items() if p.paper == options.paper}
    figures = figures_of(options.paper)
    if not rows and not figures:
        names = sorted(name.replace("_", "-") for name in MODULES)
        raise nearest("paper", options.paper, names, "taut experiments")
    if options.what in figures:
        options.results.mkdir(parents=True, exist_ok=True)
        figures[options.what](options.results, options.budget)
        tables.rewrite(options.results, options.paper, list(rows.values()))
        return
    names = lambda p: (p.name, p.table, *p.also)
    picked = [p for p in rows.values() if options.what in (None, *names(p))]
    if not picked:
        known = {*figures, *(name for p in rows.values() for name in names(p))}
        where = f"taut experiments {options.paper}"
        raise nearest("table, figure or row", str(options.what), known, where)
    for preset in picked:
        found = [_one(preset, seed, options) for seed in range(options.seeds)]
        merge(options.results / f"{options.paper}.json", _entry(preset, found, options))
        pairs.update(
            options.results / f"{options.paper}-pairs.json",
            options.runs,
            list(rows.values()),
            options.budget,
            options.seeds,
        )
        tables.rewrite(options.results, options.paper, list(rows.values()))
    if not options.quiet:
        console.print(f"Wrote {options.results / (options.paper + '.md')}")


def figures_of(paper: str) -> dict[str, Callable[[Path, str], None]]:
    """`name -> draw(folder, budget)`, from the paper's module."""
    module = paper.replace("-", "_")
    if module not in MODULES:
        return {}
    return dict(
        getattr(importlib.import_module(f"taut.papers.{module}"), "FIGURES", {})
    )


def _one(preset: Preset, seed: int, options: Options) -> dict[str, Any]:
    """Train (or go on) and evaluate one seed; what its folder then says."""
    plan = Plan(preset, options.budget, seed, settings_at(preset, options.budget))
    folder = options.runs / default_folder(preset, options.budget, seed).name
    grid: dict[str, Any] = {}
    if options.grid:
        folder, scores = chosen(plan, folder, quiet=options.quiet)
        grid = {"grid": scores}
    else:
        trained_there(plan, folder, quiet=options.quiet)
    evaluate.evaluated_there(folder, quiet=options.quiet)
    environment = {"environment": Run.open(folder).environment()}
    return Run.open(folder).summary() | environment | grid


def _entry(
    preset: Preset, found: list[dict[str, Any]], options: Options
) -> dict[str, Any]:
    """One row's object: means over seeds, and every seed's own numbers."""
    lower = [f["evaluation"]["lower"]["mean"] for f in found]
    both = [f["evaluation"].get("simulated") for f in found]
    spread = float(np.std(lower, ddof=1)) if len(lower) > 1 else None
    pick = lambda end: (
        float(np.mean([b[end]["mean"] for b in both])) if all(both) else None
    )
    last = found[-1]
    annealed = [f["evaluation_ais"] for f in found if "evaluation_ais" in f]
    return {
        "name": preset.name,
        "budget": options.budget + (", grid" if options.grid else ""),
        "lower": float(np.mean(lower)),
        "lower_by_seed": lower,
        "se": last["evaluation"]["lower"]["se_examples"],
        "se_monte_carlo": last["evaluation"]["lower"].get("se_monte_carlo"),
        "sd_seeds": spread,
        "test_examples": last["evaluation"]["lower"]["examples"],
        "samples": last["evaluation"]["samples"],
        "upper": pick("upper"),
        "left_out": sum(b.get("left_out", 0) for b in both if b),
        "rate": last["evaluation"].get("rate"),
        "simulated_lower": pick("lower"),
        "report": last["evaluation"].get("report"),
        "annealed": _annealed(annealed) if len(annealed) == len(found) else None,
        "is_bound": preset.bound,
        "published": preset.published.value if preset.published else None,
        "steps": last["step"],
        "seeds": len(found),
        "seconds": float(np.mean([f["seconds"] for f in found])),
        "device": last["environment"]["device"],
        "command": f"taut reproduce {preset.paper} {preset.name} "
        f"--budget {options.budget} --seeds {len(found)}"
        + (" --grid" if options.grid else ""),
        "revision": last["environment"]["revision"],
    }


def _annealed(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The ends by annealing, over seeds."""
    lower = [f["lower"]["mean"] for f in found]
    both = [f["simulated"] for f in found if "simulated" in f]
    mean = lambda end: float(np.mean([b[end]["mean"] for b in both])) if both else None
    return {
        "lower": float(np.mean(lower)),
        "lower_by_seed": lower,
        "se": found[-1]["lower"]["se_examples"],
        "se_monte_carlo": found[-1]["lower"].get("se_monte_carlo"),
        "sd_seeds": float(np.std(lower, ddof=1)) if len(lower) > 1 else None,
        "gap": mean("gap"),
        "acceptance": float(np.mean([f["acceptance"] for f in found])),
        "ess": float(np.mean([f["ess"] for f in found])),
        "verdicts": sorted({f["verdict"] for f in found}),
        **{k: found[-1][k] for k in ("temperatures", "chains", "leapfrogs")},
    }


def merge(path: Path, entry: dict[str, Any]) -> None:
    """Put one row into the file, in place of the same row at the same budget."""
    path.parent.mkdir(parents=True, exist_ok=True)
    old = json.loads(path.read_text()) if path.exists() else []
    same = lambda row: (row["name"], row["budget"]) == (entry["name"], entry["budget"])
    write_json(path, [*(row for row in old if not same(row)), entry])
