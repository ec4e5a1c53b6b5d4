"""Coverage of both ends over 200 seeds, on every problem with exact draws.

python benchmarks/evidence_coverage.py [PROBLEM ...]
"""

import json
import sys
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)  # noqa: FBT003

import jax.random as jr  # noqa: E402

from taut.evidence import references  # noqa: E402
from taut.evidence.coverage import coverage, frozen_runs, short  # noqa: E402
from taut.evidence.methods import local_moves  # noqa: E402

HERE = Path(__file__).parents[1] / "docs" / "results"
SEEDS = 200
EXACT = [name for name, row in references.table().items() if row["kind"] == "exact"]


def main(names):
    path = HERE / "evidence-coverage.json"
    rows = json.loads(path.read_text()) if path.exists() else {}
    for name in names or EXACT:
        method, length, moves, runs = short(name)
        problem, began = references.load(name), time.perf_counter()
        low, high = frozen_runs(
            jr.key(0), problem, method, length, seeds=SEEDS, runs=runs, moves=moves
        )
        found = coverage(problem.log_z, low, high)
        rows[name] = {
            "method": method.__name__,
            "length": length,
            "runs": runs,
            "seconds": round(time.perf_counter() - began, 1),
            **found.record(),
        }
        print(name, rows[name], flush=True)
        path.write_text(json.dumps(rows, indent=2) + "\n")
        (HERE / "evidence-coverage.md").write_text(table(rows))


def table(rows):
    allowed = next(iter(rows.values()))["allowed"]
    head = (
        "Written by `python benchmarks/evidence_coverage.py`. "
        f"{SEEDS} seeds of 16 runs per end, or of as many as are named; one-sided "
        "intervals at 95 %; a share of "
        f"misses up to {allowed:.3f} is what {SEEDS} coins "
        "explain (99.9 %). *Wide*: wider than the gap and eight standard errors.\n\n"
        "| problem | method | gap | own lower | own upper | lower missed Z | upper "
        "missed Z | wide | kept |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    line = (
        "| {name} | {method}{how}, {length}{many} | {gap:.3f} | {own_lower:.3f} "
        "| {own_upper:.3f} | {missed_lower:.3f} | {missed_upper:.3f} "
        "| {wide:.3f} | {word} |\n"
    )
    word = lambda row: "yes" if row["kept"] else "**no**"
    how = lambda name: " by curvature" if short(name).moves is local_moves else ""
    many = lambda row: "" if row.get("runs", 16) == 16 else f", {row['runs']} runs"
    return head + "".join(
        line.format(name=name, word=word(row), how=how(name), many=many(row), **row)
        for name, row in rows.items()
    )


if __name__ == "__main__":
    main(sys.argv[1:])
