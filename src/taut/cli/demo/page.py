"""What the demo writes and prints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ...core.combine import Joint
from ...densities.synthetic import NineGaussians
from ...report import Figure, Page, curves, density, ends, images, render
from ...rundir import environment
from ..progress import console, results
from .common import NUM, Options, Trained
from .plane import GRID, PLANE, picture


def _history(found: dict[str, Trained], names: Sequence[str]) -> dict[str, tuple]:
    return {
        name: tuple(
            [row[what] for row in found[name].history] for what in ("step", "bound")
        )
        for name in names
    }


def report(found: dict[str, Trained], options: Options) -> str:
    """One page about all of them."""
    plane = [name for name in found if name in PLANE]
    digits = [name for name in found if name not in PLANE]
    target = NineGaussians()
    centres = (GRID[1:] + GRID[:-1]) / 2
    points = jnp.stack(jnp.meshgrid(centres, centres), -1).reshape(-1, 2)
    truth = np.exp(jax.jit(jax.vmap(target.log_density))(points)).reshape(60, 60)
    pictures = {"target": truth} | {n: picture(found[n].draws) for n in plane}
    vae = found[digits[-1]].model
    joint = Joint(vae.prior, vae.likelihood)
    draw = eqx.filter_jit(lambda joint, keys: jax.vmap(joint.sample)(keys))
    latents, _ = draw(joint, jr.split(jr.key(2), 40))
    grey = jax.nn.sigmoid(jax.vmap(vae.likelihood.net)(latents))
    simulated = {
        n: (t.row.simulated_lower, t.row.upper)
        for n, t in found.items()
        if t.row.upper is not None and t.row.simulated_lower is not None
    }
    figures = [
        Figure(
            "Learned densities",
            density(pictures, (-2, 2, -2, 2)),
            "Nine Gaussians, and what each model draws after training on samples.",
        ),
        Figure(
            "Nine Gaussians",
            curves(
                _history(found, plane),
                ylabel="training bound, nats",
                reference=("ceiling", target.ceiling),
            ),
            "No density can have a higher mean than the target's negative entropy.",
        ),
        Figure(
            "Both ends, in the plane",
            ends({n: simulated[n] for n in plane if n in simulated}),
            "Mean over examples simulated from each model: the truth lies in the bar.",
        ),
        Figure(
            "Digits",
            curves(_history(found, digits), ylabel="training bound, nats"),
            "A VAE of 8x8 digits with a Gaussian prior and with a SNIS prior.",
        ),
        Figure(
            "Both ends, digits",
            ends({n: simulated[n] for n in digits}),
            "On examples simulated from each VAE.",
        ),
        Figure(
            "Drawn digits",
            images(np.asarray(grey)),
            "Means of the pixels for latents drawn from the SNIS prior.",
        ),
    ]
    intro = (
        "Six small models, trained in one go. On test examples the mean "
        "log-likelihood is bounded from below; on examples simulated from the model "
        "it is bounded from both sides, and the upper end is certified."
    )
    rows = [t.row for t in found.values()]
    settings = {"steps": options.steps, "seed": options.seed, "proposals": NUM}
    details = {"settings": settings, "environment": environment()}
    return render(Page("taut demo", intro, rows, figures, details))


def summarise(found: dict[str, Trained], seconds: float) -> dict[str, Any]:
    """The table's numbers, for machines."""
    rows = [
        {
            "name": t.row.name,
            "lower": t.row.lower,
            "lower_error": t.row.lower_error,
            "simulated_lower": t.row.simulated_lower,
            "upper": t.row.upper,
            "exact": t.row.exact,
            "bound": t.row.upper is not None,
        }
        for t in found.values()
    ]
    return {"seconds": round(seconds, 1), "rows": rows}


def show(found: dict[str, Trained], seconds: float, path: Path) -> None:
    """The table for people."""
    from rich.table import Table

    table = Table(title="log-likelihood, nats")
    heads = ("model", "lower end\n(test)", "exact\n(test)")
    for head in (*heads, "lower end\n(simulated)", "upper end\n(simulated)", ""):
        table.add_column(head, justify="left" if head in ("model", "") else "right")
    cell = lambda value: "–" if value is None else f"{value:.3f}"
    for t in found.values():
        lower = f"{t.row.lower:.3f} ± {t.row.lower_error or 0:.3f}"
        ends_ = (t.row.exact, t.row.simulated_lower, t.row.upper)
        table.add_row(t.row.name, lower, *map(cell, ends_), t.row.note)
    results.print(table)
    console.print(f"{seconds:.0f} s. The report: {path}")
