"""`taut evaluate`: the log-likelihood of a trained run, from both sides."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from tyro.conf import Positional, arg

from .. import schedules
from ..core.density import AbstractDensity
from ..evaluation import (
    AnnealedEnds,
    both_ends,
    gather,
    lower_end,
    lowered,
    rate_and_distortion,
    summary,
)
from ..papers.experiment import (
    AbstractAnnealed,
    AbstractExamined,
    AbstractExperiment,
    AbstractSettled,
    Splits,
    seeded_choice,
)
from ..rundir import Run, as_json
from .exits import Misuse
from .options import parse
from .partial import Arrays, Partial, digest
from .progress import progress
from .running import EVALUATION, SETTLING, held_out, plan_of, restored, stream
from .showing import show
from .verdict import rounded_up, sandwiched

TEMPERATURES = 1000
SIMULATED = 100  # examples that `--sandwich` asks for where the preset has fewer
RECORDS = {"iwae": "evaluation", "ais": "evaluation_ais"}  # in the run's summary
# What decides numbers, with how many examples are simulated; `chunk`, say, does not.
DECIDING = (
    "images", "samples", "simulated_samples", "temperatures", "chains", "leapfrogs",
    "seed",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Bound the log-likelihood of a trained run, from both sides.

    Stopped, it goes on where it was when it is asked for again, to the same numbers.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
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
    sandwich: bool = False
    """Both ends, and the verdict on this length, where the preset simulates few too."""
    tolerance: float = 1.0
    """Nats that the gap may have for this length to be called enough."""
    simulated_samples: int | None = None
    """iwae: samples per simulated example."""
    chunk: int | None = None
    """iwae: samples at once; smaller takes less memory and gives the same numbers."""
    temperatures: int | None = None
    """ais: steps from guide to posterior; the preset's number, or 1000, without it."""
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
    if options.bound not in RECORDS:
        raise Misuse(f"--bound is iwae or ais; got {options.bound!r}.")
    for name, least in (("images", 1), ("simulated", 0), ("temperatures", 1)):
        if _given(getattr(options, name), least) < least:
            raise Misuse(f"--{name} must be at least {least}.")
    if not options.tolerance > 0:
        raise Misuse("--tolerance must be above 0 nats.")
    bounds = ("iwae", "ais") if options.compare else (options.bound,)
    try:
        found = {bound: evaluate(options.run, options, bound) for bound in bounds}
    except KeyboardInterrupt:
        stopped = "Stopped; the same command goes on from the blocks that are done."
        raise KeyboardInterrupt(stopped) from None
    if options.json:
        print(as_json(found if options.compare else found[bounds[0]]))
    elif not options.quiet:
        show(options.run.name, found)


def evaluate(folder: Path, options: Options, bound: str = "iwae") -> dict[str, Any]:
    """The test set from below; examples of the model itself from both sides."""
    plan, record = plan_of(folder), Run.open(folder)
    settings, splits = plan.settings, plan.settings.data()
    model, state, step = restored(plan, splits, record)
    parts = model, state
    start = time.monotonic()
    settled: dict[str, float] = {}
    if isinstance(settings, AbstractSettled):
        key = stream(options.seed, SETTLING)
        state, settled = settings.settle(key, *parts)
        parts = model, state
    made_with = {name: asdict(options)[name] for name in DECIDING}
    made_with["simulated"] = _simulated(settings, options)
    kept = Partial(
        folder / f"evaluation-partial-{bound}",
        made_with
        | {"plan": plan.config(), "data": splits.digest, "parts": digest(parts)},
    )
    ends = _importance if bound == "iwae" else _annealed
    watched = Watched(kept, options.quiet)
    values, errors, result = ends(settings, splits, parts, options, watched)
    result = {
        "bound": bound,
        "is_bound": plan.preset.bound,
        "seed": options.seed,
        "step": step,
        "lower": summary(values, errors),
        "bits_per_dim": float(-np.mean(values) / np.log(2) / splits.test[0].size),
        **result,
        **settled,
        "seconds": round(time.monotonic() - start, 2),
    }
    np.savez(folder / f"evaluation-{bound}.npz", value=values, error=errors)
    record.summarise({RECORDS[bound]: result})
    kept.remove()
    return result


def evaluated_there(folder: Path, *, quiet: bool) -> None:
    """Evaluate by importance samples, and by annealing where that is published, unless
    it was done after the last step.
    """
    annealed = isinstance(plan_of(folder).settings, AbstractAnnealed)
    found = Run.open(folder).summary()
    for bound in ("iwae", "ais") if annealed else ("iwae",):
        done = found.get(RECORDS[bound], {"step": None})
        # Records without the step are older than its mention here.
        if done.get("step", found["step"]) != found["step"]:
            evaluate(folder, Options(folder, quiet=quiet), bound)


def _given(option: int | None, default: int) -> int:
    return default if option is None else option


@dataclass(frozen=True)
class Watched:
    """All blocks of a section as one: kept as they are made, with progress and the mean
    so far (of the first of its arrays).
    """

    kept: Partial
    quiet: bool

    def __call__(
        self, name: str, total: int, made: Callable[[int], Iterator[Arrays]]
    ) -> dict[str, np.ndarray]:
        blocks = []
        with progress(f"{name} examples", total, quiet=self.quiet) as update:
            for block in self.kept.blocks(name, total, made):
                blocks.append(block)
                seen = np.concatenate([next(iter(b.values())) for b in blocks])
                update(len(seen), f"{np.mean(seen):.3f} nats")
        return gather(blocks)


def _importance(
    settings: AbstractExperiment,
    splits: Splits,
    parts: Any,
    options: Options,
    watched: Watched,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    num = _given(options.samples, settings.samples)
    images = seeded_choice(splits.test, _given(options.images, settings.test_images))
    tkey, skey = jr.split(stream(options.seed, EVALUATION))
    target = lambda parts, key: settings.shared(parts[0], parts[1], key)

    def below(start: int) -> Iterator[Arrays]:
        chunk = options.chunk
        for end in lower_end(
            tkey, target, parts, images, num, chunk=chunk, start=start
        ):
            yield {"value": end.value, "error": end.error, "ess": end.ess}

    end = watched("test", len(images), below)
    told: dict[str, Any] = {"samples": num, "ess": float(np.median(end["ess"]))}
    told |= rate_and_distortion(
        skey, settings.shared(parts[0], parts[1], skey), images[:1000]
    )
    density = settings.density(*parts)
    count = _simulated(settings, options)
    if count and isinstance(density, AbstractDensity):
        draws = _given(options.simulated_samples, settings.simulated_samples)

        def both(start: int) -> Iterator[Arrays]:
            chunk = options.chunk
            for _, lower, upper in both_ends(
                skey, density, count, draws, chunk=chunk, start=start
            ):
                yield {"lower": lower, "upper": upper}

        told["simulated"] = {
            "samples": draws,
            **sandwiched(
                **watched("simulated", count, both),
                tolerance=options.tolerance,
                cure=lambda by: "more samples, or `--bound ais`",
            ),
        }
    if isinstance(settings, AbstractExamined):
        told["report"] = settings.report(skey, parts[0], parts[1], images, watched)
    return end["value"], end["error"], told


def _annealed(
    settings: AbstractExperiment,
    splits: Splits,
    parts: Any,
    options: Options,
    watched: Watched,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    annealed = isinstance(settings, AbstractAnnealed)
    usual = settings.temperatures if annealed else TEMPERATURES
    temperatures = _given(options.temperatures, usual)
    betas = schedules.linear(temperatures)
    chains, chunk = options.chains, options.chunk
    density = settings.density(*parts)
    ends = AnnealedEnds(density, betas, chains, options.leapfrogs, chunk=chunk)
    wkey, tkey, skey = jr.split(stream(options.seed, EVALUATION), 3)
    ends = ends.tuned(wkey, held_out(splits, 20))
    images = seeded_choice(splits.test, _given(options.images, settings.test_images))

    def below(start: int) -> Iterator[Arrays]:
        for found in ends.lower(tkey, images, start=start):
            end = found.end
            told = {"value": end.value, "error": end.error, "ess": end.ess}
            yield told | {"acceptance": found.acceptance, "invalid": found.invalid}

    found = watched("test", len(images), below)
    invalid = int(np.sum(found["invalid"]))
    told: dict[str, Any] = {
        "temperatures": temperatures,
        "chains": options.chains,
        "leapfrogs": options.leapfrogs,
        "acceptance": float(np.mean(found["acceptance"])),
        "invalid_chains": invalid,
        "verdict": lowered("lower only", invalid),
        "ess": float(np.median(found["ess"])),
        "step_size": [float(jnp.min(ends.step_size)), float(jnp.max(ends.step_size))],
    }
    count = _simulated(settings, options)
    if count:

        def both(start: int) -> Iterator[Arrays]:
            for _, lower, upper, harmonic in ends.both(skey, count, start=start):
                sides = {"lower": lower.end.value, "upper": upper, "harmonic": harmonic}
                yield sides | {"invalid": lower.invalid}

        sides = watched("simulated", count, both)
        harmonic, invalid = sides.pop("harmonic"), int(np.sum(sides.pop("invalid")))
        # The gap of annealing falls as one over the number of temperatures.
        cure = lambda by: f"about {rounded_up(temperatures * by):,} temperatures"
        judged = sandwiched(**sides, tolerance=options.tolerance, cure=cure)
        told["simulated"] = judged | {
            "upper_harmonic": summary(harmonic),
            "invalid_chains": invalid,
            "enough": judged["enough"] and not invalid,
            "verdict": lowered(judged["verdict"], invalid),
        }
    return found["value"], found["error"], told


def _simulated(settings: AbstractExperiment, options: Options) -> int:
    usual = max(settings.simulated, SIMULATED if options.sandwich else 0)
    return _given(options.simulated, usual)
