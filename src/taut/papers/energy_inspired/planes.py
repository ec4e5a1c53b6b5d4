"""Figures 1 and 2: bounds against steps, and learned densities beside their targets."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ...densities.resampled import Resampled
from ...densities.self_normalized import SelfNormalized
from ...densities.truncated_rejection import TruncatedRejection
from ...report import curves, density
from ...rundir import environment, write_json
from ...train import NonFiniteError
from . import quadrature, running
from .curves import MISMATCHED, PLANE_LAWS, figure1
from .plane import Plane

# What each panel shows: the start of its presets' names, and the laws.
PANELS = {
    "nine-gaussians": tuple(PLANE_LAWS),
    "checkerboard": tuple(PLANE_LAWS),
    "rings-radial": tuple(PLANE_LAWS),
    "nine-gaussians-narrow": MISMATCHED,
    "nine-gaussians-narrower": MISMATCHED,
}
SIDE = 2.2
BINS = np.linspace(-SIDE, SIDE, 56)
# One length for all runs of the figures, within the budget's time together.
STEPS = {"quick": 6000, "medium": 100_000, "full": 1_000_000}
FILE = "energy-inspired-figure1"


def draw(folder: Path, budget: str, steps: int | None = None) -> None:
    """Train every law on every target; write both figures, their curves and scores.

    Runs that are in the file already, at this budget and length, are kept.
    """
    runs = chosen(budget, steps)
    for name in sorted(runs, key=lambda name: not name.endswith(MISMATCHED)):
        found, settings = _read(folder), runs[name]
        if _same(found.get(name), budget, settings):
            continue
        found[name], arrays = run(settings, budget)
        write_json(folder / f"{FILE}.json", found)
        new = {f"{name}/{k}": v for k, v in arrays.items()}
        kept: dict[str, Any] = _arrays(folder) | new
        np.savez_compressed(folder / f"{FILE}.npz", **kept)
        pictures(folder)


def chosen(budget: str, steps: int | None) -> dict[str, Plane]:
    """The runs of both figures by name."""
    presets = {preset.name: preset.budgets[budget] for preset in figure1()}
    runs = {}
    for panel, laws in PANELS.items():
        for law in laws:
            settings = presets[f"{panel}-{law}"]
            assert isinstance(settings, Plane)
            runs[f"{panel}-{law}"] = replace(
                settings,
                steps=STEPS[budget] if steps is None else steps,
                test_images=min(settings.test_images, 500),
                samples=min(settings.samples, 50),
                simulated=min(settings.simulated, 200),
            )
    return runs


def run(
    settings: Plane, budget: str, seed: int = 0
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """One model: its curve, its bounds and its true score; and pictures of its draws
    and its energy.
    """
    head = {
        "budget": budget,
        "steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "seed": seed,
        "ceiling": settings.target.ceiling,
        "environment": {
            k: v for k, v in environment().items() if k in ("device", "revision")
        },
    }
    try:
        outcome = running.train(settings, seed)
    except NonFiniteError as error:
        return head | {"failed": str(error).split(";")[0]}, {}
    told = running.bounds(outcome, seed)
    model = settings.density(outcome.model, outcome.state)
    law = outcome.model if outcome.state is not None else model
    xs = jnp.asarray(running.test_points(outcome))
    exact = quadrature.log_density(law, settings.variance, xs)
    return head | {
        "curve": [[row["step"], round(row["bound"], 5)] for row in outcome.history],
        "bounds": told,
        "is_bound": outcome.state is None,
        "exact": None if exact is None else float(np.mean(exact)),
    }, {"histogram": histogram(model.sample)} | surface(law)


def histogram(sample: Any, num: int = 20_000) -> np.ndarray:
    """The density of draws, in square bins; rows go upwards."""
    draw = eqx.filter_jit(lambda keys: jax.lax.map(sample, keys, batch_size=200))
    x, y = np.asarray(draw(jr.split(jr.key(1), num))).T
    counts = np.histogram2d(y, x, bins=[BINS, BINS])[0]
    return (counts / num / (BINS[1] - BINS[0]) ** 2).astype(np.float16)


def surface(model: Any) -> dict[str, np.ndarray]:
    """The energy in the middle of the bins, for the laws that have one of their own."""
    if not isinstance(model, SelfNormalized | TruncatedRejection | Resampled):
        return {}
    values = jax.vmap(model.energy)(_centres()).reshape(len(BINS) - 1, -1)
    return {"energy": np.asarray(values - jnp.min(values), np.float16)}


def _centres():
    middle = jnp.asarray((BINS[1:] + BINS[:-1]) / 2)
    return jnp.stack(jnp.meshgrid(middle, middle), -1).reshape(-1, 2)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / f"{FILE}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    path = folder / f"{FILE}.npz"
    return dict(np.load(path)) if path.exists() else {}


def _same(found: Mapping | None, budget: str, settings: Plane) -> bool:
    wanted = (budget, settings.steps)
    return found is not None and (found["budget"], found["steps"]) == wanted


def pictures(folder: Path) -> None:
    """All that the files allow to be drawn."""
    found, arrays = _read(folder), _arrays(folder)
    for panel, laws in PANELS.items():
        runs = {law: found.get(f"{panel}-{law}", {}) for law in laws}
        learned = {law: run["curve"] for law, run in runs.items() if "curve" in run}
        if not learned:
            continue
        target = chosen("quick", 1)[f"{panel}-{laws[0]}"].target
        start = f"{panel}-"
        own = {
            name.removeprefix(start): array.astype(float)
            for name, array in arrays.items()
            if name.startswith(start)
        }
        for what, text in _panel(target, learned, own).items():
            (folder / f"energy-inspired-{what}-{panel}.svg").write_text(text)


def _panel(
    target: Any, learned: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, str]:
    """One target's curves, densities and energies, as SVG texts."""
    lines = {}
    for law, curve in learned.items():
        steps, bounds = zip(*curve)
        lines[law] = steps, bounds
    ceiling = ("ceiling", target.ceiling)
    texts = {"figure1": curves(lines, ylabel="training bound, nats", reference=ceiling)}
    of = lambda what: {
        law: arrays[f"{law}/{what}"] for law in learned if f"{law}/{what}" in arrays
    }
    extent = (-SIDE, SIDE, -SIDE, SIDE)
    truth = np.exp(jax.vmap(target.log_density)(_centres()))
    shown = {"target": np.asarray(truth).reshape(len(BINS) - 1, -1)}
    texts["figure2"] = density(shown | of("histogram"), extent)
    # exp(-U) less its largest value: what multiplies the proposal.
    tilts = {law: np.exp(-energy) for law, energy in of("energy").items()}
    if tilts:
        texts["energies"] = density(tilts, extent)
    return texts
