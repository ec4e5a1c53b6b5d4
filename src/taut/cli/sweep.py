"""`taut sweep`: presets and seeds as jobs, on Slurm or on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from .exits import Misuse
from .options import find_preset, parse, settings_at
from .progress import console


@dataclass(frozen=True)
class Options:
    """Train and evaluate presets with several seeds, one job each, through submitit."""

    names: Annotated[tuple[str, ...], Positional, arg(metavar="NAME...")]
    """Experiments; `taut experiments` lists them."""
    budget: str = "quick"
    """quick, medium or full."""
    seeds: int = 1
    """Seeds 0, 1, ... of each."""
    cluster: str | None = None
    """slurm, local or debug; what submitit finds without it."""
    hours: float = 24.0
    """The longest a job may take."""
    partition: str | None = None
    """Slurm's."""
    gpus: int = 0
    """Of each job."""
    runs: Path = Path("runs")
    """Where the runs go; jobs that find theirs begun go on with it."""
    wait: bool = False
    """Return when all jobs have ended; 1 where one failed."""


def run(argv: Sequence[str]) -> int:
    options = parse(Options, argv, "taut sweep")
    if not options.names:
        raise Misuse("say which experiments: `taut sweep NAME...`.")
    for name in options.names:
        settings_at(find_preset(name), options.budget)
    try:
        import submitit  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise RuntimeError(
            'sweeps go through submitit: pip install "taut[cluster]"'
        ) from None
    executor = submitit.AutoExecutor(options.runs / "jobs", cluster=options.cluster)
    executor.update_parameters(
        name="taut",
        timeout_min=int(60 * options.hours),
        gpus_per_node=options.gpus,
        **({"slurm_partition": options.partition} if options.partition else {}),
    )
    with executor.batch():
        jobs = [
            executor.submit(one, name, options.budget, seed, options.runs)
            for name in options.names
            for seed in range(options.seeds)
        ]
    console.print(f"{len(jobs)} jobs; their logs are in {options.runs / 'jobs'}")
    if not options.wait:
        return 0
    return int(any(job.exception() is not None for job in jobs))


def one(name: str, budget: str, seed: int, runs: Path) -> None:
    """One job: train (or go on), then evaluate."""
    from .evaluate import evaluated_there
    from .running import Plan
    from .train import default_folder, trained_there

    preset = find_preset(name)
    folder = runs / default_folder(preset, budget, seed).name
    plan = Plan(preset, budget, seed, settings_at(preset, budget))
    trained_there(plan, folder, quiet=True)
    evaluated_there(folder, quiet=True)
