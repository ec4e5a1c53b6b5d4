"""The command line: the only place that knows strings, files and the clock.

This module imports neither JAX nor tyro: `taut --help` answers at once.
"""

import difflib
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "demo": "train small models, bound their likelihood from both sides, draw a report",
    "experiments": "list the papers' experiments",
    "train": "train one experiment",
    "evaluate": "bound the log-likelihood of a trained run, from both sides",
    "sample": "draw examples from a trained run",
    "report": "write one self-contained HTML page about runs",
    "reproduce": "train, evaluate and tabulate a paper, a table or a row",
    "sweep": "train and evaluate presets and seeds as jobs of a cluster",
    "evidence": "bound the log evidence of a Bayesian model, from both sides",
    "data": "list, fetch, verify and import data sets",
    "doctor": "print versions, devices, threads and data",
}


def usage() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    return (
        "usage: taut COMMAND [...]\n\n"
        "Tight, two-sided bounds on log-likelihood.\n\n"
        f"{rows}\n\n"
        "`taut COMMAND --help` shows every setting with its meaning and default."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 1 (failed), 2 (misused) or 130 (Ctrl-C)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] == "--version":
        from importlib.metadata import version

        print(version("taut"))
        return 0
    name, *rest = argv
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        print(
            f"taut: there is no command {name!r}.{hint}\n\n{usage()}", file=sys.stderr
        )
        return 2
    from .exits import guarded

    return guarded(lambda: importlib.import_module(f"taut.cli.{name}").run(rest))
