"""`taut experiments`: what can be trained."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from ..papers import presets
from .options import nearest, parse
from .progress import results


@dataclass(frozen=True)
class Options:
    """List the papers' experiments."""

    paper: Annotated[str | None, Positional, arg(metavar="[PAPER]")] = None
    """Only this paper's: energy-inspired, annealed, hierarchical or buffered."""
    json: bool = False
    """Objects for machines instead of a table."""


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut experiments")
    found = [p for p in presets().values() if options.paper in (None, p.paper)]
    if options.paper and not found:
        known = sorted({p.paper for p in presets().values()})
        raise nearest("paper", options.paper, known, "taut experiments --help")
    if options.json:
        print(json.dumps([p.to_json() for p in found], indent=2))
        return
    from rich.table import Column, Table

    table = Table("table", "row", "data", "published", "steps")
    table.columns.insert(0, Column("name", no_wrap=True))
    for p in found:
        published = f"{p.published.value:g}" if p.published else ""
        steps = "/".join(f"{e.steps:,}" for e in p.budgets.values())
        table.add_row(p.name, p.table, p.row, p.dataset, published, steps)
    results.print(table)
