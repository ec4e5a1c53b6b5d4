"""`taut train`: one experiment into one folder."""

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro
from tyro.conf import Positional, arg

from ..distributed import initialize, make_mesh
from ..papers.experiment import Preset
from ..rundir import Run, RunError, as_json, flatten
from ..tensorboard import TensorBoard
from ..train import FitResult
from .exits import Misuse
from .options import find_preset, parse_with_settings
from .progress import console, progress
from .running import Plan, count_parameters, plan_of, train

# Settings that decide nothing of training: an evaluation records its own.
EVALUATION = ("test_images", "samples", "simulated", "simulated_samples")
FREE = tuple(f"settings.{name}" for name in EVALUATION)


@dataclass(frozen=True)
class Options:
    """Train one experiment. Every setting of its preset is a flag."""

    name: Annotated[str, Positional, arg(metavar="NAME")]
    """Which experiment; `taut experiments` lists them."""
    budget: str = "quick"
    """quick (minutes on two cores), medium (about an hour) or full (the paper's)."""
    seed: int = 0
    """Decides every random number of the run."""
    out: Path | None = None
    """The run's folder; runs/NAME-BUDGET-SEED without it."""
    resume: bool = False
    """Go on with the run in that folder."""
    mesh: str = ""
    """Devices by axis, for example data=4,particles=2; one device without it."""
    heartbeat: int = 100
    """Seconds of a peer's silence after which a job of several processes ends."""
    tensorboard: bool = False
    """Write TensorBoard curves beside metrics.jsonl (needs the extra)."""
    json: bool = False
    """Print the summary as JSON."""
    quiet: bool = False
    """No progress."""


def run(argv: Sequence[str]) -> None:
    if not argv or argv[0].startswith("-"):
        if not set(argv) & {"-h", "--help"}:
            raise Misuse("say which experiment, before any setting: `taut train NAME`.")
        tyro.cli(Options, args=list(argv), prog="taut train")
    preset = find_preset(argv[0])
    prog = f"taut train {preset.name}"
    options, settings = parse_with_settings(Options, argv, prog, preset)
    if options.tensorboard and find_spec("tensorboardX") is None:
        raise Misuse('--tensorboard needs an extra: pip install "taut[tensorboard]".')
    initialize(options.heartbeat)
    plan = Plan(preset, options.budget, options.seed, settings)
    folder = options.out or default_folder(preset, options.budget, options.seed)
    mesh = make_mesh(**axes(options.mesh)) if options.mesh else None
    try:
        summary = train_into(
            plan,
            folder,
            resume=options.resume,
            quiet=options.quiet,
            mesh=mesh,
            tensorboard=options.tensorboard,
        )
    except KeyboardInterrupt as stop:  # while it compiles, too
        begun = (folder / "config.json").is_file() and not options.resume
        again = [*argv, "--resume"] if begun else argv
        raise KeyboardInterrupt(
            f"{str(stop) or 'Stopped.'}\nGo on with: taut train {shlex.join(again)}"
        ) from None
    if options.json:
        print(as_json(summary))
        return
    if not options.quiet:
        numbers = "  ".join(
            f"{k} {v:.4g}" for k, v in summary["metrics"].items() if v is not None
        )
        console.print(f"[bold]{preset.name}[/] at step {summary['step']}: {numbers}")
        console.print(f"Next: taut evaluate {folder}")


def default_folder(preset: Preset, budget: str, seed: int) -> Path:
    return Path("runs") / f"{preset.name}-{budget}-{seed}"


def axes(words: str) -> dict[str, int]:
    """`data=4,particles=2` as a mapping."""
    try:
        pairs = [word.split("=") for word in words.split(",")]
        return {name: int(size) for name, size in pairs}
    except ValueError:
        raise Misuse(
            f"--mesh wants data=4,particles=2 or the like; got {words!r}."
        ) from None


def train_into(
    plan: Plan,
    folder: Path,
    *,
    resume: bool,
    quiet: bool,
    mesh: Any = None,
    tensorboard: bool = False,
) -> dict[str, Any]:
    """Train with progress and a record; the summary that was written."""
    splits = plan.settings.data()
    made = (folder, plan.config(), splits.digest)
    record = Run.resume(*made, free=FREE) if resume else Run.create(*made)
    first = jax.process_index() == 0
    board = TensorBoard(folder / "tensorboard") if tensorboard and first else None
    begun, before = time.monotonic(), 0.0
    with progress(plan.preset.name, plan.settings.steps, quiet=quiet) as update:

        def started(step: int) -> None:
            nonlocal before
            record.start(step)
            before = record.seconds()

        def report(step: int, metrics: dict[str, Any], rate: float) -> None:
            record.report(step, metrics, rate)
            if board:
                board.report(step, metrics, rate)
            update(step, f"{rate:,.1f} steps/s  {headline(metrics)}")

        result = train(
            plan,
            splits,
            record,
            mesh=mesh,
            on_start=started,
            on_report=report,
            on_validation=record.validated,
            report_every=max(1, min(100, plan.settings.steps // 10)),
            save_every=max(1, min(5000, plan.settings.steps // 4)),
        )
    summary = _summary(record, result, before + time.monotonic() - begun)
    record.summarise(summary)
    return summary


def trained_there(plan: Plan, folder: Path, *, quiet: bool) -> None:
    """Train in that folder, go on with what is there, or leave it if it is done; what
    is there must have been trained with the same settings.
    """
    if not (folder / "config.json").is_file():
        train_into(plan, folder, resume=False, quiet=quiet)
        return
    plain = lambda plan: flatten(json.loads(as_json(plan.config())))
    there, wanted = plain(plan_of(folder)), plain(plan)
    names = sorted(set(wanted) - set(FREE))
    other = [name for name in names if there.get(name) != wanted[name]]
    if other:
        raise RunError(
            f"The run in {folder} was made with other settings: {', '.join(other)}. "
            "Remove it, or let the runs go elsewhere (`--runs FOLDER`)."
        )
    summary = Run.open(folder).summary()
    # Early stopping ends a run, too.
    done = summary.get("stopped_early") or summary.get("step", 0) >= plan.settings.steps
    if not done:
        train_into(plan, folder, resume=True, quiet=quiet)


def headline(metrics: dict[str, Any]) -> str:
    """The number to watch: a bound where the loss reports one."""
    for name in metrics:
        if name.split("/")[-1] == "bound":
            return f"bound {metrics[name]:.3f}"
    name = next(n for n in metrics if n.split("/")[-1] == "loss")
    return f"loss {metrics[name]:.3f}"


def _summary(record: Run, result: FitResult, seconds: float) -> dict[str, Any]:
    last = next((row for row in reversed(record.metrics())), {})
    return {
        "step": result.step,
        "stopped_early": result.stopped_early,
        "seconds": round(seconds, 2),
        "parameters": count_parameters(result.params),
        "validation": [[row["step"], row["score"]] for row in record.validations()],
        "metrics": {k: v for k, v in last.items() if k not in ("step", "rate")},
    }
