"""The paper's theory in pictures: what each divergence sees, what a variance hides.

With `w = Zhat / Z`: the bound is loose by `-E log w`, the reverse KL; `Var(w)` is the
chi-square divergence, at least as large as the forward KL, `E w log w`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ...report.figures import COLOURS, canvas, svg
from ...rundir import write_json
from . import toy_pictures as draw
from .toy import AbstractObjective, Bound, ChiSquare, Rooted, Variance
from .toy_figures import BUDGETS, last, lists, save, write
from .toy_runs import along, trained

CONVEX: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "reverse KL, -log w": lambda w: -np.log(w),
    "forward KL, w log w": lambda w: w * np.log(w),
    "chi-square, w^2 - 1": lambda w: w**2 - 1,
}


def objectives(folder: Path, budget: str) -> None:
    """KL, Var(log w) and chi-square along training, by what is minimised."""
    seeds, steps = min(BUDGETS[budget][0], 5), BUDGETS[budget][1]
    aims: Mapping[str, AbstractObjective] = {
        "bound": Bound(),
        "Var(log w)": Variance(),
        "chi-square": ChiSquare(),
    }
    runs = {
        name: trained(Rooted(3, 1.0), seeds, steps=steps, objective=aim)
        for name, aim in aims.items()
    }
    curves = {name: along(run) for name, run in runs.items()}
    record = {"last": last(curves), "sequence": loose_sequence()}
    record["curves"] = lists(curves)
    save(folder, "theory", budget, seeds, runs, record)
    panels = {"kl": "KL", "variance_log_w": "Var(log w)", "chi_square": "chi-square"}
    write(folder, "theory", draw.seeds(curves, panels))


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


def tail(n: float, level: float) -> float:
    """`E[w_n; w_n > level]` of that sequence: one half, however high the level."""
    high, p = 0.5 * (1 + n), 1 / n  # (1 + p) / (2 p)
    return (p * high if high > level else 0.0) + ((1 - p) / 2 if level < 0.5 else 0.0)


def sequence(folder: Path, budget: str) -> None:
    """Var(log w) vanishes, the bound stays loose: `w` is not uniformly integrable."""
    rows = loose_sequence()
    n = np.array([row["n"] for row in rows])
    levels = (2.0, 10.0, 100.0)
    tails = {level: [tail(row["n"], level) for row in rows] for level in levels}
    record = {
        "command": f"taut reproduce hierarchical sequence --budget {budget}",
        "sequence": rows,
        "E[w; w > level]": {f"{level:g}": values for level, values in tails.items()},
    }
    write_json(folder / "hierarchical-sequence.json", record)
    figure, axes = canvas(9.3, 2.7, ncols=3)
    panels = ("variance_log_w", "Var(log w)"), ("mean_log_w", "E log w: the bound")
    for axis, colour, (what, title) in zip(axes.flat, COLOURS, panels):
        axis.plot(n, [row[what] for row in rows], "o-", color=colour, markersize=4)
        axis.set_title(title)
    axes.flat[1].axhline(np.log(0.5), color="#30343b", linestyle=":", label="-log 2")
    axes.flat[1].axhline(0.0, color="#8a8f98", linestyle="--", label="log of the mean")
    for colour, (level, values) in zip(COLOURS, tails.items()):
        axes.flat[2].plot(
            n, values, "o-", color=colour, markersize=4, label=f"c = {level:g}"
        )
    axes.flat[2].set_title("E[w; w > c]")
    axes.flat[1].legend(fontsize=8)
    axes.flat[2].legend(fontsize=8)
    for axis in axes.flat:
        axis.set_xscale("log")
        axis.set_xlabel("n")
    write(folder, "sequence", svg(figure))


def divergences(folder: Path, budget: str) -> None:
    """Figure 6: the convex functions of three divergences, `E f(w)`: what each charges
    for a weight that is too small, and for one that is too large.
    """
    w = np.linspace(0.01, 3.0, 300)
    at = np.array([0.01, 0.1, 0.5, 1.0, 2.0, 3.0])
    record = {
        "command": f"taut reproduce hierarchical divergences --budget {budget}",
        "w": at.tolist(),
        **{name: fn(at).round(4).tolist() for name, fn in CONVEX.items()},
    }
    write_json(folder / "hierarchical-divergences.json", record)
    figure, axes = canvas(4.6, 3.0)
    axis = axes[0, 0]
    for colour, (name, fn) in zip(COLOURS, CONVEX.items()):
        axis.plot(w, fn(w), color=colour, label=name)
    axis.axhline(0.0, color="#8a8f98", linewidth=0.7)
    axis.set_ylim(-1.5, 5.0)
    axis.set_xlabel("w = p / q")
    axis.set_ylabel("f(w)")
    axis.legend(fontsize=8)
    write(folder, "divergences", svg(figure))


FIGURES: dict[str, Callable[[Path, str], None]] = {
    "theory": objectives,
    "sequence": sequence,
    "divergences": divergences,
}
