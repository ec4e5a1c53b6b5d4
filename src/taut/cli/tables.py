"""`docs/results/PAPER.md` from `docs/results/PAPER.json`: nothing is typed by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..papers.experiment import Preset
from . import pairs

HEAD = """# Results: {paper}

Written by `taut reproduce {paper}` from [`{paper}.json`]({paper}.json). Nats, higher is
better. *Lower (test)* is the mean lower end on a seeded choice of test examples, with
the error of that choice; *lower* and *upper (simulated)* are both ends on examples
simulated from the trained model, where the upper one is certified; *KL per datum* is
what the guide spends of its bound on the prior. *Published* numbers
come from the paper's full budget and are no target of a reduced one. Rows without a run
say "not run".
"""

ANNEALED = """*Lower (annealing)* is the lower end by annealing on the same test
examples, and *gap (annealing)* its certified gap on simulated ones.
"""


def rewrite(folder: Path, paper: str, presets: Sequence[Preset]) -> None:
    """Tables of all rows, run or not, and the figures that lie beside them."""
    path = folder / f"{paper}.json"
    found = json.loads(path.read_text()) if path.exists() else []
    parts = [HEAD.format(paper=paper)]
    if any(row.get("annealed") for row in found):
        parts.append(ANNEALED)
    names = {row["name"] for row in found}
    for table in dict.fromkeys(preset.table for preset in presets):
        rows = [p for p in presets if p.table == table]
        if table.startswith("figure"):  # the others' numbers lie beside the figure
            rows = [p for p in rows if p.name in names]
        if not rows:
            continue
        parts.append(f"## {table}\n\n{_table(rows, shared(presets, found))}")
    differences = pairs.table(folder / f"{paper}-pairs.json")
    if differences:
        parts.append(differences)
    pictures = sorted(folder.glob(f"{paper}-*.svg"))
    if pictures:
        shown = "\n\n".join(f"![{p.stem}]({p.name})" for p in pictures)
        parts.append(f"## Figures\n\n{shown}\n")
    commands = dict.fromkeys(row["command"] for row in found)
    if commands:
        listed = "\n".join(commands)
        parts.append(f"## Commands\n\n```\n{listed}\n```\n")
    (folder / f"{paper}.md").write_text("\n".join(parts))


def shared(
    presets: Sequence[Preset], found: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The runs, also under the name of every row without runs that has the same
    settings: its runs would be the same to the last bit.
    """
    by_name = {preset.name: preset for preset in presets}
    own = {run["name"] for run in found}
    twins = [
        run | {"name": preset.name, "of": run["name"]}
        for preset in presets
        for run in found
        if preset.name not in own
        and _same(preset, by_name.get(run["name"]), run["budget"])
    ]
    return [*found, *twins]


def _same(one: Preset, other: Preset | None, budget: str) -> bool:
    if other is None or budget not in one.budgets.keys() & other.budgets.keys():
        return False
    return one.budgets[budget] == other.budgets[budget]


def _table(presets: Sequence[Preset], found: Sequence[dict[str, Any]]) -> str:
    annealed = any(row.get("annealed") for row in found)
    heads = (
        "row",
        "data",
        "budget",
        "steps",
        "seeds",
        "device",
        "lower (test)",
        "lower (simulated)",
        "upper (simulated)",
        "KL per datum",
        *(("lower (annealing)", "gap (annealing)") if annealed else ()),
        "published",
    )
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for preset in presets:
        runs = [row for row in found if row["name"] == preset.name]
        width = len(heads) - 4
        lines += [_line(preset, run, annealed=annealed) for run in runs] or [
            _not_run(preset, width)
        ]
    return "\n".join(lines) + "\n"


def _published(preset: Preset) -> str:
    told = preset.published
    if told is None:
        return "–"
    return f"{told.value:g}" + (f" ± {told.spread:g}" if told.spread else "")


def _not_run(preset: Preset, empty: int) -> str:
    return (
        f"| {preset.row} | {preset.dataset} | not run |"
        + " |" * empty
        + (f" {_published(preset)} |")
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _mean(run: Mapping[str, Any]) -> str:
    """A lower end with the errors it has."""
    told = f"{_number(run['lower'])} ± {_number(run['se'])}"
    spread = run["sd_seeds"]
    return told if spread is None else f"{told} (seeds: {spread:.2f})"


def _line(preset: Preset, run: dict[str, Any], *, annealed: bool) -> str:
    lower = _mean(run)
    if not run["is_bound"]:
        lower += " (not a bound)"
    simulated = _number(run["simulated_lower"])
    if run.get("left_out"):
        simulated += f" ({run['left_out']} at -inf left out)"
    cells = (
        preset.row + (f" (the run of `{run['of']}`)" if "of" in run else ""),
        preset.dataset,
        run["budget"],
        f"{run['steps']:,}",
        str(run["seeds"]),
        run["device"],
        lower,
        simulated,
        _number(run["upper"]),
        _number(run.get("rate")),
        *(_annealed(run.get("annealed")) if annealed else ()),
        _published(preset),
    )
    return "| " + " | ".join(cells) + " |"


def _annealed(found: Mapping[str, Any] | None) -> tuple[str, str]:
    return ("–", "–") if found is None else (_mean(found), _number(found["gap"]))
