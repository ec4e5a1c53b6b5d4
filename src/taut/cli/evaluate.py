"""`taut evaluate`: the log-likelihood of a trained run, from both sides."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import tyro

from .. import schedules
from ..core.density import AbstractDensity
from ..evaluation import (
    AnnealedEnds,
    both_ends,
    gather,
    lower_end,
    rate_and_distortion,
    summary,
)
from ..papers.experiment import (
    AbstractExamined,
    AbstractExperiment,
    AbstractSettled,
    Splits,
    seeded_choice,
)
from ..rundir import Run
from .exits import Misuse
from .options import parse
from .progress import console, progress
from .running import held_out, plan_of, train, trained

CERTIFIED = "certified: simulated together with their latents"
SETTLE = 10**6  # the stream of what is estimated once, before the evaluation


@dataclass(frozen=True)
class Options:
    """Bound the log-likelihood of a trained run, from both sides."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    bound: str = "iwae"
    """iwae (importance samples) or ais (annealing; for models with one exact joint)."""
    compare: bool = False
    """Both, side by side, on the same test examples."""
    images: int | None = None
    """Test examples, a seeded choice; the preset's number without it."""
    samples: int | None = None
    """iwae: samples per example; the preset's number without it."""
    simulated: int | None = None
    """Examples simulated from the model, for both ends; 0 for none."""
    simulated_samples: int | None = None
    """iwae: samples per simulated example."""
    chunk: int | None = None
    """iwae: samples at once; smaller takes less memory and gives the same numbers."""
    temperatures: int = 1000
    """ais: steps from the guide to the posterior."""
    chains: int = 16
    """ais: chains per example."""
    leapfrogs: int = 10
    """ais: leapfrog steps of one move."""
    seed: int = 0
    """Decides every random number of the evaluation."""
    json: bool = False
    """Print the result as JSON."""
    quiet: bool = False
    """No progress."""


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut evaluate")
    if options.bound not in ("iwae", "ais"):
        raise Misuse(f"--bound is iwae or ais; got {options.bound!r}.")
    bounds = ("iwae", "ais") if options.compare else (options.bound,)
    found = {bound: evaluate(options.run, options, bound) for bound in bounds}
    if options.json:
        print(json.dumps(found if options.compare else found[bounds[0]], indent=2))
    elif not options.quiet:
        show(options.run.name, found)


def evaluate(folder: Path, options: Options, bound: str = "iwae") -> dict[str, Any]:
    """The test set from below; examples of the model itself from both sides."""
    plan, record = plan_of(folder), Run.open(folder)
    settings, splits = plan.settings, plan.settings.data()
    parts = trained(train(plan, splits, record, steps=0))
    start = time.monotonic()
    settled: dict[str, float] = {}
    if isinstance(settings, AbstractSettled):
        key = jr.fold_in(jr.key(options.seed), SETTLE)
        state, settled = settings.settle(key, *parts)
        parts = parts[0], state
    ends = _importance if bound == "iwae" else _annealed
    values, errors, result = ends(settings, splits, parts, options)
    result = {
        "bound": bound,
        "is_bound": plan.preset.bound,
        "seed": options.seed,
        "lower": summary(values, errors),
        "bits_per_dim": float(-np.mean(values) / np.log(2) / splits.test[0].size),
        **result,
        **settled,
        "seconds": round(time.monotonic() - start, 2),
    }
    np.savez(folder / f"evaluation-{bound}.npz", value=values, error=errors)
    name = "evaluation" if bound == "iwae" else f"evaluation_{bound}"
    record.summarise({name: result})
    return result


def _given(option: int | None, default: int) -> int:
    return default if option is None else option


def _watched(
    what: str, total: int, blocks: Iterable[Any], values: Any, *, quiet: bool
) -> Any:
    """All blocks as one, with progress and the mean so far."""
    kept = []
    with progress(what, total, quiet=quiet) as update:
        for block in blocks:
            kept.append(block)
            seen = np.concatenate([values(b) for b in kept])
            update(len(seen), f"{np.mean(seen):.3f} nats")
    return gather(kept)


def _importance(
    settings: AbstractExperiment, splits: Splits, parts: Any, options: Options
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    num = _given(options.samples, settings.samples)
    images = seeded_choice(splits.test, _given(options.images, settings.test_images))
    tkey, skey = jr.split(jr.key(options.seed))
    target = lambda parts, key: settings.shared(parts[0], parts[1], key)
    blocks = lower_end(tkey, target, parts, images, num, chunk=options.chunk)
    quiet = options.quiet
    end = _watched("test examples", len(images), blocks, lambda e: e.value, quiet=quiet)
    told: dict[str, Any] = {"samples": num, "ess": float(np.median(end.ess))}
    told |= rate_and_distortion(
        skey, settings.shared(parts[0], parts[1], skey), images[:1000]
    )
    density = settings.density(*parts)
    count = _given(options.simulated, settings.simulated)
    if count and isinstance(density, AbstractDensity):
        draws = _given(options.simulated_samples, settings.simulated_samples)
        both = both_ends(skey, density, count, draws, chunk=options.chunk)
        _, lower, upper = _watched(
            "simulated examples", count, both, lambda b: b[1], quiet=quiet
        )
        told["simulated"] = {"samples": draws, **_sandwich(lower, upper)}
    if isinstance(settings, AbstractExamined):
        told["report"] = settings.report(skey, parts[0], parts[1], images)
    return end.value, end.error, told


def _annealed(
    settings: AbstractExperiment, splits: Splits, parts: Any, options: Options
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    betas = schedules.linear(options.temperatures)
    ends = AnnealedEnds(
        settings.density(*parts), betas, options.chains, options.leapfrogs
    )
    wkey, tkey, skey = jr.split(jr.key(options.seed), 3)
    ends = ends.tuned(wkey, held_out(splits, 20))
    images = seeded_choice(splits.test, _given(options.images, settings.test_images))
    quiet = options.quiet
    found = _watched(
        "test examples",
        len(images),
        ends.lower(tkey, images),
        lambda b: b.end.value,
        quiet=quiet,
    )
    told: dict[str, Any] = {
        "temperatures": options.temperatures,
        "chains": options.chains,
        "leapfrogs": options.leapfrogs,
        "acceptance": float(np.mean(found.acceptance)),
        "invalid_chains": int(np.sum(found.invalid)),
        "ess": float(np.median(found.end.ess)),
        "step_size": [float(jnp.min(ends.step_size)), float(jnp.max(ends.step_size))],
    }
    count = _given(options.simulated, settings.simulated)
    if count:
        _, below, upper, harmonic = _watched(
            "simulated examples",
            count,
            ends.both(skey, count),
            lambda b: b[1].end.value,
            quiet=quiet,
        )
        told["simulated"] = _sandwich(below.end.value, upper) | {
            "upper_harmonic": summary(harmonic)
        }
    return found.end.value, found.end.error, told


def _sandwich(lower: np.ndarray, upper: np.ndarray) -> dict[str, Any]:
    # Rounding can carry a draw out of the support (a logit of exactly 0 or 1): its
    # lower end is -inf, correct and useless, and it is counted rather than averaged.
    kept = np.isfinite(lower) & np.isfinite(upper)
    lost, lower, upper = int(np.sum(~kept)), lower[kept], upper[kept]
    return {
        "left_out": lost,
        "lower": summary(lower),
        "upper": summary(upper),
        "gap": summary(upper - lower),
        "verdict": CERTIFIED,
    }


def show(name: str, found: dict[str, dict[str, Any]]) -> None:
    """The table for people."""
    from rich.table import Table

    table = Table(title=name)
    for column in ("", "examples", "lower end", "upper end", "gap", "verdict"):
        table.add_column(
            column, justify="left" if column in ("", "verdict") else "right"
        )
    for bound, result in found.items():
        lower = result["lower"]
        draws = lower.get("se_monte_carlo")
        error = f"± {lower['se_examples'] or 0:.2f} (examples)"
        error += f"\n± {draws:.2f} (draws)" if draws is not None else ""
        table.add_row(
            bound,
            f"{lower['examples']} test",
            f"{lower['mean']:.2f} {error}",
            "–",
            "–",
            "lower only" if result["is_bound"] else "not a bound",
        )
        both = result.get("simulated")
        if both:
            table.add_row(
                bound,
                f"{both['lower']['examples']} simulated",
                f"{both['lower']['mean']:.2f}",
                f"{both['upper']['mean']:.2f}",
                f"{both['gap']['mean']:.2f} ± {both['gap']['se_examples'] or 0:.2f}",
                both["verdict"],
            )
    console.print(table)
    for bound, result in found.items():
        console.print(f"{bound}: {result['seconds']:.0f} s")
