"""`taut sample`: examples drawn from a trained run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from tyro.conf import Positional, arg

from ..core.checks import check_at_least, particle_keys
from ..report import Figure, Page, examples, render
from ..rundir import Run
from .options import parse
from .progress import console, progress
from .running import SAMPLES, plan_of, restored, stream


@dataclass(frozen=True)
class Options:
    """Draw examples from a trained run."""

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """The run's folder; samples.npz and samples.html go there."""
    num: int = 100
    """How many."""
    block: int = 100
    """How many at once."""
    seed: int = 0
    """Decides every draw."""
    quiet: bool = False
    """No progress."""


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut sample")
    check_at_least("num", options.num, 1)
    check_at_least("block", options.block, 1)
    plan, record = plan_of(options.run), Run.open(options.run)
    splits = plan.settings.data()
    model, state, _ = restored(plan, splits, record)
    density = plan.settings.density(model, state)
    keys = particle_keys(stream(options.seed, SAMPLES), options.num)
    drawn = []
    with progress("samples", options.num, quiet=options.quiet) as update:
        for block in draws(density, keys, options.block):
            drawn.append(block)
            update(sum(map(len, drawn)), "")
    samples = np.concatenate(drawn)
    lost = np.sum(~np.isfinite(samples).all(tuple(range(1, samples.ndim))))
    if lost:
        raise ArithmeticError(
            f"{lost} of {len(samples)} draws are not finite: the model diverged. Train "
            "it anew, with smaller steps."
        )
    np.savez_compressed(options.run / "samples.npz", samples=samples)
    picture = examples(samples, 100)
    if picture:
        shown = Figure("Samples", picture)
        page = Page(plan.preset.name, f"Seed {options.seed}.", [], [shown])
        (options.run / "samples.html").write_text(render(page))
    if not options.quiet:
        console.print(f"{options.num} samples in {options.run / 'samples.npz'}")


def draws(density: Any, keys: PRNGKeyArray, block: int) -> Iterator[np.ndarray]:
    """One event per key, `block` at a time."""
    draw = eqx.filter_jit(lambda density, keys: jax.vmap(density.sample)(keys))
    for first in range(0, len(keys), block):
        yield np.asarray(draw(density, keys[first : first + block]))
