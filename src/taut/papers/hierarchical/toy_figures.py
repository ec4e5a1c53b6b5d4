"""The toy's figures, each with its numbers beside it as JSON."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array

from ...rundir import write_json
from . import toy_pictures as draw
from .toy import LOG_Z, Rooted, Walking, Weighed
from .toy_runs import Trained, along, mean_weights, points, trained, weights

BUDGETS = {"quick": (5, 1000), "medium": (25, 5000), "full": (25, 5000)}
COMMON = {"a common root": False, "a root each": True}


def variance(folder: Path, budget: str) -> None:
    """Figure 3: bound and dispersion along training, with and without a common root."""
    seeds, steps = BUDGETS[budget]
    runs = {
        name: trained(Rooted(3, 1.0, independent=apart), seeds, steps=steps)
        for name, apart in COMMON.items()
    }
    curves = {name: along(run) for name, run in runs.items()}
    record = {"last": last(curves), "curves": lists(curves)}
    save(folder, "variance", budget, seeds, runs, record)
    panels = {
        "bound": "bound, nats",
        "variance_log_w": "Var(log w)",
        "chi_square": "Var(w)",
    }
    write(folder, "variance", draw.curves(curves, panels))


def correlation(
    folder: Path, budget: str, num: int = 20_000, power: float = 1.0
) -> None:
    """Figure 4: correlations of the weights of proposals trained with a common root,
    and with a root each; in both cases they are then drawn from a common one.
    """
    seeds, steps = BUDGETS[budget]
    runs = {
        name: trained(Rooted(3, power, independent=apart), seeds, steps=steps)
        for name, apart in COMMON.items()
    }
    found = {
        name: _dependence(weights(run.models, jr.key(1), num, shared=True))
        for name, run in runs.items()
    }
    record = {
        name: {
            k: v.mean(axis=0).tolist() if k == "matrix" else mean(v)
            for k, v in entry.items()
        }
        for name, entry in found.items()
    }
    one, other = found.values()
    paired = {k: mean(one[k] - other[k]) for k in one if k != "matrix"}
    record = {"draws": num, "power": power, **record, "difference by seed": paired}
    figure = "correlation" if power == 1 else f"correlation-power-{power:g}"
    save(folder, figure, budget, seeds, runs, record)
    matrices = {name: entry["matrix"].mean(axis=0) for name, entry in found.items()}
    write(folder, figure, draw.matrices(matrices))


def equal_weights(folder: Path, budget: str) -> None:
    """Figure 4 with power 0, where the weights are as the paper's text defines them."""
    correlation(folder, budget, power=0.0)


def _dependence(found: Array) -> dict[str, np.ndarray]:
    """Of `w_j`, `(seeds, num, K)`, for every seed: how they vary, and together."""
    w = np.asarray(found, float)
    matrix = np.stack([np.corrcoef(seed.T) for seed in w])
    between = matrix[:, *np.triu_indices(w.shape[2], 1)]
    total = w.mean(axis=2)  # Zhat / Z
    return {
        "matrix": matrix,
        "correlation": between.mean(axis=1),
        "negative": (between < 0).mean(axis=1),
        "mean_w": total.mean(axis=1),
        "sd_w": total.std(axis=1),
        "mean_log_w": np.log(total).mean(axis=1),
        "variance_log_w": np.log(total).var(axis=1),
    }


def proposals(folder: Path, budget: str) -> None:
    """Figure 2: the proposals, drawn in the colour of their root."""
    _, steps = BUDGETS[budget]
    kinds = {"Markov": Walking(3), "power 0": Rooted(3, 0.0), "power 1": Rooted(3, 1.0)}
    runs = {name: trained(kind, 1, steps=steps) for name, kind in kinds.items()}
    found = {n: points(run.first, jr.key(2), 1500) for n, run in runs.items()}
    record = {
        name: {"last_bound": mean(along(run)["bound"][-1]), **_spread(*found[name])}
        for name, run in runs.items()
    }
    save(folder, "proposals", budget, 1, runs, record)
    write(folder, "proposals", draw.scatter(found))


def learned_weights(folder: Path, budget: str) -> None:
    """Figure 7: learned weights after 50 steps and at the end, averaged over roots;
    and, in a picture of their own, the proposals that they weigh.
    """
    _, steps = BUDGETS[budget]
    runs = {f"{n} steps": trained(Weighed(3), 1, steps=n) for n in (50, steps)}
    maps = {n: np.asarray(mean_weights(r.first, jr.key(3))) for n, r in runs.items()}
    record = {
        name: {"last_bound": mean(along(run)["bound"][-1])}
        for name, run in runs.items()
    }
    found = {n: points(run.first, jr.key(2), 1500) for n, run in runs.items()}
    save(folder, "weights", budget, 1, runs, record)
    write(folder, "weights", draw.maps(maps))
    write(folder, "weights-proposals", draw.scatter(found))


def mean(values: np.ndarray) -> dict[str, float]:
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


def lists(curves: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Means and standard deviations over seeds, step by step."""
    summary = lambda v: {
        "mean": v.mean(axis=1).round(5).tolist(),
        "sd": v.std(axis=1).round(5).tolist(),
    }
    return {
        name: {k: v.tolist() if k == "step" else summary(v) for k, v in curve.items()}
        for name, curve in curves.items()
    }


def last(curves: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """The last report's numbers: means over seeds."""
    return {
        name: {k: mean(v[-1]) for k, v in curve.items() if k != "step"}
        for name, curve in curves.items()
    }


def save(
    folder: Path,
    name: str,
    budget: str,
    seeds: int,
    runs: Mapping[str, Trained],
    record: Any,
) -> None:
    about = {
        "command": f"taut reproduce hierarchical {name} --budget {budget}",
        "seeds": seeds,
        "steps": BUDGETS[budget][1],
        "batch": 64,
        "log_z": LOG_Z,
        "training_seconds": {n: round(run.seconds, 1) for n, run in runs.items()},
        "device": jax.devices()[0].device_kind,
    }
    write_json(folder / f"hierarchical-{name}.json", about | record)


def write(folder: Path, name: str, picture: str) -> None:
    (folder / f"hierarchical-{name}.svg").write_text(picture)


FIGURES: dict[str, Callable[[Path, str], None]] = {
    "proposals": proposals,
    "variance": variance,
    "correlation": correlation,
    "weights": learned_weights,
    "correlation-power-0": equal_weights,
}
