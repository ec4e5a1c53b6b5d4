"""The toy's figures, each with its numbers beside it as JSON."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array

from ...rundir import write_json
from . import toy_pictures as draw
from .toy import (
    LOG_Z,
    AbstractObjective,
    Bound,
    ChiSquare,
    Rooted,
    Variance,
    Walking,
    Weighed,
)
from .toy_runs import along, first, mean_weights, points, trained, weights

BUDGETS = {"quick": (5, 1000), "medium": (25, 5000), "full": (25, 5000)}


def variance(folder: Path, budget: str) -> None:
    """Figure 3: bound and dispersion along training, with and without a common root."""
    seeds, steps = BUDGETS[budget]
    start = time.monotonic()
    common = {"common root": False, "a root each": True}
    curves = {
        name: along(trained(Rooted(3, 1.0, independent=apart), seeds, steps=steps))
        for name, apart in common.items()
    }
    last = {
        name: {k: _mean(v[-1]) for k, v in curve.items() if k != "step"}
        for name, curve in curves.items()
    }
    record = {"last": last, "curves": _lists(curves)}
    _save(folder, "variance", budget, record, start)
    panels = {
        "bound": "bound, nats",
        "variance_log_w": "Var(log w)",
        "chi_square": "Var(w)",
    }
    _write(folder, "variance", draw.curves(curves, panels))


def correlation(folder: Path, budget: str, num: int = 20_000) -> None:
    """Figure 4: correlations of the weights of proposals trained with a common root,
    and with a root each; in both cases they are then drawn from a common one.
    """
    seeds, steps = BUDGETS[budget]
    start = time.monotonic()
    record, matrices = {}, {}
    for name, apart in {"common root": False, "a root each": True}.items():
        model = trained(Rooted(3, 1.0, independent=apart), seeds, steps=steps).params
        w = np.asarray(weights(model, jr.key(1), num, shared=True), float)
        found = np.stack([np.corrcoef(seed.T) for seed in w])
        upper = found[:, *np.triu_indices(3, 1)]
        total = w.mean(axis=2)
        matrices[name] = found.mean(axis=0)
        record[name] = {
            "mean_matrix": found.mean(axis=0).tolist(),
            "between_branches": _mean(upper.mean(axis=1)),
            "negative": float((upper < 0).mean()),
            "log_w": _mean(np.log(total).mean(axis=1)),
            "variance_log_w": _mean(np.log(total).var(axis=1)),
            "sd_w": _mean(total.std(axis=1)),
            "mean_w": _mean(total.mean(axis=1)),
        }
    _save(folder, "correlation", budget, {"draws": num} | record, start)
    _write(folder, "correlation", draw.matrices(matrices))


def proposals(folder: Path, budget: str) -> None:
    """Figure 2: the proposals, drawn in the colour of their root."""
    _, steps = BUDGETS[budget]
    start = time.monotonic()
    kinds = {"Markov": Walking(3), "power 0": Rooted(3, 0.0), "power 1": Rooted(3, 1.0)}
    found, record = {}, {}
    for name, kind in kinds.items():
        result = trained(kind, 1, steps=steps)
        found[name] = points(first(result), jr.key(2), 1500)
        record[name] = {"last_bound": _mean(along(result)["bound"][-1])}
        record[name] |= _spread(*found[name])
    _save(folder, "proposals", budget, record, start)
    _write(folder, "proposals", draw.scatter(found))


def learned_weights(folder: Path, budget: str) -> None:
    """Figure 7: learned weights after 50 steps and at the end, averaged over roots."""
    _, steps = BUDGETS[budget]
    start = time.monotonic()
    record, maps = {}, {}
    for count in (50, steps):
        result = trained(Weighed(3), 1, steps=count)
        maps[f"{count} steps"] = np.asarray(mean_weights(first(result), jr.key(3)))
        record[f"{count} steps"] = {"last_bound": _mean(along(result)["bound"][-1])}
    _save(folder, "weights", budget, record, start)
    _write(folder, "weights", draw.maps(maps))


def theory(folder: Path, budget: str) -> None:
    """KL, Var(log w) and chi-square along training, by what is minimised; and a
    sequence whose variance vanishes while the bound stays loose.
    """
    seeds, steps = BUDGETS[budget]
    start = time.monotonic()
    seeds = min(seeds, 5)
    aims: Mapping[str, AbstractObjective] = {
        "bound": Bound(),
        "Var(log w)": Variance(),
        "chi-square": ChiSquare(),
    }
    curves = {
        name: along(trained(Rooted(3, 1.0), seeds, steps=steps, objective=aim))
        for name, aim in aims.items()
    }
    last = {
        name: {k: _mean(v[-1]) for k, v in curve.items() if k != "step"}
        for name, curve in curves.items()
    }
    record = {"last": last, "sequence": loose_sequence(), "curves": _lists(curves)}
    _save(folder, "theory", budget, record, start)
    panels = {"kl": "KL", "variance_log_w": "Var(log w)", "chi_square": "chi-square"}
    _write(folder, "theory", draw.curves(curves, panels))


def loose_sequence() -> list[dict[str, float]]:
    """`w_n = 1/2`, but `(1 + p)/(2 p)` with probability `p = 1/n`: the mean is one."""
    rows = []
    for n in (10, 100, 1000, 10_000, 100_000):
        p = 1 / n
        jump = np.log((1 + p) / p)  # between the logs of the two values
        mean = np.log(0.5) + p * jump
        spread = p * (1 - p) * jump**2
        rows.append({"n": n, "variance_log_w": spread, "mean_log_w": mean})
    return rows


def _mean(values: np.ndarray) -> dict[str, float]:
    """Over seeds, with the standard error of the mean where there are several."""
    values = np.asarray(values, float)
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return {"mean": float(values.mean()), "se": float(error)}


def _spread(zs: Array, root: Array) -> dict[str, Any]:
    """How much of every branch's variance its root explains, by linear regression."""
    design = np.column_stack([np.ones(len(root)), np.asarray(root, float)])
    shares = []
    for z in np.moveaxis(np.asarray(zs, float), 1, 0):
        fitted = design @ np.linalg.lstsq(design, z, rcond=None)[0]
        shares.append(float(fitted.var(axis=0).sum() / z.var(axis=0).sum()))
    return {"explained_by_root": shares}


def _lists(curves: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Means and standard deviations over seeds, step by step."""
    summary = lambda v: {
        "mean": v.mean(axis=1).round(5).tolist(),
        "sd": v.std(axis=1).round(5).tolist(),
    }
    return {
        name: {k: v.tolist() if k == "step" else summary(v) for k, v in curve.items()}
        for name, curve in curves.items()
    }


def _save(folder: Path, name: str, budget: str, record: Any, start: float) -> None:
    seeds, steps = BUDGETS[budget]
    about = {
        "command": f"taut reproduce hierarchical {name} --budget {budget}",
        "seeds": seeds,
        "steps": steps,
        "batch": 64,
        "log_z": LOG_Z,
        "seconds": round(time.monotonic() - start, 1),
        "device": jax.devices()[0].device_kind,
    }
    write_json(folder / f"hierarchical-{name}.json", about | record)


def _write(folder: Path, name: str, picture: str) -> None:
    (folder / f"hierarchical-{name}.svg").write_text(picture)


FIGURES: dict[str, Callable[[Path, str], None]] = {
    "proposals": proposals,
    "variance": variance,
    "correlation": correlation,
    "weights": learned_weights,
    "theory": theory,
}
