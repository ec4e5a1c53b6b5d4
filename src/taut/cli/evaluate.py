"""`taut evaluate`: the log-likelihood of a trained run, from both sides."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax.random as jr
import numpy as np
import tyro

from ..core.density import AbstractDensity
from ..evaluation import End, both_ends, gather, lower_end, summary
from ..papers.experiment import AbstractExperiment, seeded_choice
from ..rundir import Run
from .exits import Misuse
from .options import parse
from .progress import console, progress
from .running import plan_of, train, trained


@dataclass(frozen=True)
class Options:
    """Bound the log-likelihood of a trained run, from both sides."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    bound: str = "iwae"
    """iwae (importance samples) or ais (annealing; for models with one exact joint)."""
    images: int | None = None
    """Test examples, a seeded choice; the preset's number without it."""
    samples: int | None = None
    """Importance samples per example; the preset's number without it."""
    simulated: int | None = None
    """Examples simulated from the model, for both ends; 0 for none."""
    simulated_samples: int | None = None
    """Importance samples per simulated example."""
    chunk: int | None = None
    """Samples at once; smaller takes less memory and gives the same numbers."""
    seed: int = 0
    """Decides every random number of the evaluation."""
    json: bool = False
    """Print the result as JSON."""
    quiet: bool = False
    """No progress."""


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut evaluate")
    if options.bound == "ais":
        from .annealed import evaluate_annealed

        result = evaluate_annealed(options)
    elif options.bound == "iwae":
        result = evaluate(options.run, options)
    else:
        raise Misuse(f"--bound is iwae or ais; got {options.bound!r}.")
    if options.json:
        print(json.dumps(result, indent=2))
    elif not options.quiet:
        show(options.run.name, result)


def evaluate(folder: Path, options: Options) -> dict[str, Any]:
    """The test set from below; examples of the model itself from both sides."""
    plan, record = plan_of(folder), Run.open(folder)
    settings, splits = plan.settings, plan.settings.data()
    parts = trained(train(plan, splits, record, steps=0))
    start = time.monotonic()
    num = options.samples or settings.samples
    images = seeded_choice(splits.test, options.images or settings.test_images)
    tkey, skey = jr.split(jr.key(options.seed))
    end = _test_end(tkey, settings, parts, images, num, options)
    result: dict[str, Any] = {
        "bound": "iwae",
        "is_bound": plan.preset.bound,
        "samples": num,
        "seed": options.seed,
        "lower": summary(end.value, end.error),
        "ess": float(np.median(end.ess)),
        "bits_per_dim": float(-np.mean(end.value) / np.log(2) / images[0].size),
    }
    density = settings.density(*parts)
    simulated = _given(options.simulated, settings.simulated)
    if simulated and isinstance(density, AbstractDensity):
        draws = _given(options.simulated_samples, settings.simulated_samples)
        result["simulated"] = _both(skey, density, simulated, draws, options)
    result["seconds"] = round(time.monotonic() - start, 2)
    np.savez(folder / "evaluation-iwae.npz", value=end.value, error=end.error)
    record.summarise({"evaluation": result})
    return result


def _given(option: int | None, default: int) -> int:
    return default if option is None else option


def _test_end(
    key: Any,
    settings: AbstractExperiment,
    parts: Any,
    images: np.ndarray,
    num: int,
    options: Options,
) -> End:
    target = lambda parts, key: settings.shared(parts[0], parts[1], key)
    blocks = []
    with progress("test examples", len(images), quiet=options.quiet) as update:
        for end in lower_end(key, target, parts, images, num, chunk=options.chunk):
            blocks.append(end)
            done = sum(len(b.value) for b in blocks)
            update(done, f"{np.mean(gather(blocks).value):.3f} nats")
    return gather(blocks)


def _both(
    key: Any, density: AbstractDensity, count: int, draws: int, options: Options
) -> dict[str, Any]:
    blocks = []
    with progress("simulated examples", count, quiet=options.quiet) as update:
        for block in both_ends(key, density, count, draws, chunk=options.chunk):
            blocks.append(block)
            update(min(count, len(blocks) * 10), "")
    _, lower, upper = gather(blocks)
    gap = summary(upper - lower)
    return {
        "samples": draws,
        "lower": summary(lower),
        "upper": summary(upper),
        "gap": gap,
        "verdict": "certified: simulated together with their latents",
    }


def show(name: str, result: dict[str, Any]) -> None:
    """The table for people."""
    from rich.table import Table

    table = Table(title=name)
    for column in ("examples", "lower end", "upper end", "gap", "verdict"):
        table.add_column(column, justify="left" if column == "verdict" else "right")
    lower = result["lower"]
    error = lower.get("se_monte_carlo")
    table.add_row(
        f"{lower['examples']} test",
        f"{lower['mean']:.2f} ± {lower['se_examples'] or 0:.2f} (images)"
        + (f" ± {error:.2f} (draws)" if error is not None else ""),
        "–",
        "–",
        "lower only" if result["is_bound"] else "not a bound",
    )
    both = result.get("simulated")
    if both:
        table.add_row(
            f"{both['lower']['examples']} simulated",
            f"{both['lower']['mean']:.2f}",
            f"{both['upper']['mean']:.2f}",
            f"{both['gap']['mean']:.2f} ± {both['gap']['se_examples'] or 0:.2f}",
            both["verdict"],
        )
    console.print(table)
