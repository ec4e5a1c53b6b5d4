"""`taut evidence`: the log evidence of a model, from both sides."""

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from .evidence_run import problem_of_run
from .exits import Misuse
from .options import nearest, parse
from .progress import console

if TYPE_CHECKING:
    from ..evidence import Evidence, Problem


@dataclass(frozen=True)
class Options:
    """Bound the log evidence of a Bayesian model, from both sides.

    FILE.py:NAME is a `taut.evidence.Problem`, or a function without arguments that
    makes one (`taut.interop.numpyro.problem(model, *data)` does for NumPyro models).
    RUN:INDEX is one test example of a trained run.
    """

    problem: Annotated[str | None, Positional, arg(metavar="[PROBLEM]")] = None
    """FILE.py:NAME, RUN:INDEX, or a built-in problem."""
    list: bool = False
    """List the built-in problems, with what is known of their evidence."""
    budget: float = 60.0
    """Seconds that the run may take, about."""
    tolerance: float = 0.01
    """Nats between the ends that are good enough to stop short of the budget."""
    runs: int = 32
    """Independent runs of each end, at least 16."""
    starts: int = 8
    """Points from which modes are looked for."""
    seed: int = 0
    """Decides every random number."""
    lower_only: bool = False
    """No posterior draws, and no upper end."""
    asymptotic: bool = False
    """Start the upper end at our own NUTS draws, even where exact ones exist."""
    float32: bool = False
    """Single precision; without it, double."""
    out: Path | None = None
    """Folder for evidence.json and evidence.svg."""
    json: bool = False
    """Print the result as JSON."""
    quiet: bool = False
    """No progress."""


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut evidence")
    if options.list:
        show_problems(as_json=options.json)
        return
    if options.problem is None:
        raise Misuse("say which problem: `taut evidence FILE.py:NAME`, or `--list`.")
    import jax

    jax.config.update("jax_enable_x64", not options.float32)
    from ..evidence import Nuts, sandwich

    problem = find(options.problem)
    if options.asymptotic:
        problem = replace(problem, exact=None)
    with console.status("starting") as status:
        tell = lambda stage: None if options.quiet else status.update(stage)
        evidence = sandwich(
            problem,
            draws=None if options.lower_only else Nuts(),
            budget=options.budget,
            tolerance=options.tolerance,
            runs=options.runs,
            num_starts=options.starts,
            seed=options.seed,
            progress=tell,
        )
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "evidence.json").write_text(evidence.to_json() + "\n")
        (options.out / "evidence.svg").write_text(evidence.plot())
    if options.json:
        print(evidence.to_json())
    else:
        show(options.problem, evidence, problem)


def find(name: str) -> "Problem":
    """A problem from a file, or a built-in one."""
    from ..evidence import Problem
    from ..evidence.references import PROBLEMS, load

    folder, _, index = name.partition(":")
    if Path(folder).is_dir():
        if not index.isdecimal():
            raise Misuse(f"expected RUN:INDEX, a run and a test example; got {name!r}.")
        return problem_of_run(Path(folder), int(index))
    if ".py" not in name:
        if name not in PROBLEMS:
            raise nearest("problem", name, PROBLEMS, "taut evidence --list")
        return load(name)
    path, _, attribute = name.rpartition(":")
    if not path or not attribute:
        raise Misuse(f"expected FILE.py:NAME; got {name!r}.")
    module = _module(Path(path))
    known = [n for n in vars(module) if not n.startswith("_")]
    if attribute not in known:
        raise nearest("name", attribute, known, f"python -i {path}")
    found: Any = getattr(module, attribute)
    if not isinstance(found, Problem) and callable(found):
        found = found()
    if not isinstance(found, Problem):
        raise Misuse(
            f"{name} is a {type(found).__name__}; expected a `taut.evidence.Problem`, "
            "or a function without arguments that returns one."
        )
    return found


def _module(path: Path) -> Any:
    if not path.is_file():
        raise Misuse(f"there is no file {path}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def show_problems(*, as_json: bool) -> None:
    from ..evidence.references import table

    known = table()
    if as_json:
        print(json.dumps(known, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    rows = Table("problem", "model", "log evidence", "how it is known")
    for name, row in known.items():
        value = "" if row["log_z"] is None else f"{row['log_z']:.6f}"
        rows.add_row(name, row["model"], value, row["how"])
    Console().print(rows)


def show(name: str, evidence: "Evidence", problem: "Problem") -> None:
    """The table for people."""
    from rich.console import Console
    from rich.table import Table

    rows = Table(title=name)
    for column in ("", "value", "95 % bound", "guaranteed, 95 %", "kind"):
        rows.add_column(column, justify="right" if column else "left")
    for label, end in (("lower", evidence.lower), ("upper", evidence.upper)):
        if end is None:
            rows.add_row(label, "–", "–", "–", "none")
            continue
        numbers = (end.value, end.bound, end.guaranteed(0.05))
        rows.add_row(label, *(f"{x:.4f}" for x in numbers), end.kind)
    point = evidence.estimate
    value = f"{point.value:.4f} ± {point.se:.4f}"
    rows.add_row("estimate", value, "", "", point.method)
    if problem.log_z is not None:
        rows.add_row("truth", f"{problem.log_z:.4f}", "", "", problem.how)
    out = Console()
    out.print(rows)
    out.print(f"[bold]{evidence.verdict}[/]")
    out.print(
        f"{evidence.method}; {evidence.evaluations:,} evaluations, "
        f"{evidence.seconds:.1f} s; ESS {evidence.ess:.0f}, k-hat {evidence.khat:.2f}"
    )
