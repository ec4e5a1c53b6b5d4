"""`sandwich` on the reference problems: which method, both ends, how long.

python benchmarks/evidence_results.py [PROBLEM ...]   each in its own process
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parents[1] / "docs" / "results"
LOADED = 1.5  # load average before a run, above which its seconds are no timing
# What differs from the defaults (a budget of 60 s, 32 runs, 0.01 nats, double).
SETTINGS = {
    "cox-process-32": {"budget": 240, "tolerance": 0.1, "runs": 16, "float32": True},
    "cox-process-40": {"budget": 240, "tolerance": 0.1, "runs": 16, "float32": True},
}
PROBLEMS = [
    "ionosphere",
    "german-credit",
    "cox-process-32",
    "cox-process-40",
    "kidscore-momiq",
    "ar-k",
    "low-dim-gauss-mix",
    "gaussian-mixture",
    "student-mixture",
    "funnel",
    "brownian-motion",
    "kalman",
    "many-well",
]


def one(name):
    import jax

    settings = {"budget": 60, **SETTINGS.get(name, {})}
    single = settings.pop("float32", False)
    jax.config.update("jax_enable_x64", not single)
    from taut.evidence import references, sandwich

    problem, began = references.load(name), time.perf_counter()
    found = sandwich(problem, **settings)
    row = {
        "method": found.method,
        "lower": [found.lower.value, found.lower.bound],
        "upper": [found.upper.value, found.upper.bound],
        "kind": found.upper.kind,
        "gap": found.gap,
        "estimate": [found.estimate.value, found.estimate.se],
        "truth": problem.log_z,
        "verdict": str(found.verdict),
        "evaluations": found.evaluations,
        "seconds": round(time.perf_counter() - began, 1),
        "dtype": found.dtype,
        "settings": settings,
    }
    print(json.dumps(row))


def table(rows):
    out = [
        "Written by `python benchmarks/evidence_results.py`. Bounds are one-sided at "
        "95 %; seconds are of the whole call, compilation included, on two cores; "
        f"*loaded*: the load average was above {LOADED}, so they are no timing.",
        "",
        "| problem | method chosen | lower (at least) | upper (at most) | gap | "
        "estimate | truth | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        if "failed" in row:
            out.append(f"| {name} | {row['failed']} | | | | | | |")
            continue
        end = lambda pair: f"{pair[0]:.4f} ({pair[1]:.4f})"
        truth = "" if row["truth"] is None else f"{row['truth']:.4f}"
        point = f"{row['estimate'][0]:.4f} ± {row['estimate'][1]:.4f}"
        clock = f"{row['seconds']:.0f}" + (", loaded" if row["load"] > LOADED else "")
        upper = f"{end(row['upper'])}, {row['kind']}"
        word = "" if row["verdict"].startswith(row["kind"]) else " **do not trust**"
        out.append(
            f"| {name} | {row['method']}, {row['dtype']} | {end(row['lower'])} | "
            f"{upper}{word} | {row['gap']:.4f} | {point} | {truth} | {clock} |"
        )
    return "\n".join(out) + "\n"


def main(names):
    path = HERE / "evidence-references.json"
    rows = json.loads(path.read_text()) if path.exists() else {}
    for name in names or PROBLEMS:
        load = os.getloadavg()[0]
        argv = [sys.executable, __file__, "--one", name]
        try:
            out = subprocess.run(argv, capture_output=True, text=True, timeout=900)
            row = json.loads(out.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            row = {"failed": "stopped after 900 s"}
        except (IndexError, json.JSONDecodeError):
            row = {"failed": out.stderr.strip().splitlines()[-1][:200]}
        rows[name] = {**row, "load": round(load, 1)}
        print(name, rows[name], flush=True)
        path.write_text(json.dumps(rows, indent=2) + "\n")
        (HERE / "evidence-references.md").write_text(table(rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2])
    else:
        main(sys.argv[1:])
