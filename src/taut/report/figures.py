"""Figures as SVG text, drawn from arrays."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#3566c0", "#d1603d", "#2f8f6b", "#8a5fbf", "#b08a1e", "#4a9fb5")


def canvas(width: float, height: float, **kwargs: Any) -> tuple["Figure", np.ndarray]:
    """An empty figure of that size in inches, and its axes by row and column."""
    # The object-oriented interface: no backend, no global state.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.edgecolor": "#8a8f98",
        "axes.grid": True,
        "grid.color": "#e6e8eb",
        "axes.axisbelow": True,
        "axes.titlesize": 10,
        "font.size": 9,
        "svg.fonttype": "none",
        "svg.hashsalt": "taut",
    }
    with rc_context(style):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(squeeze=False, **kwargs)
    return figure, axes


def svg(figure: "Figure") -> str:
    """The picture as text, from `<svg` on; the same bytes for the same figure."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "taut"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    ylabel: str,
    reference: tuple[str, float] | None = None,
) -> str:
    """Values against training steps, a line per name; the worst start is cut off."""
    figure, axes = canvas(6.4, 3.2)
    axis = axes[0, 0]
    for colour, (name, (steps, values)) in zip(_cycle(), series.items()):
        axis.plot(steps, values, label=name, color=colour, linewidth=1.4)
    later = np.concatenate(
        [np.asarray(v, float)[len(v) // 10 :] for _, v in series.values()]
    )
    later = later[np.isfinite(later)]
    if reference is not None:
        axis.axhline(reference[1], color="#30343b", linestyle=":", label=reference[0])
        later = np.append(later, reference[1])
    if later.size:
        low, high = np.percentile(later, [1, 100])
        margin = 0.08 * max(high - low, 1e-3)
        axis.set_ylim(low - margin, high + margin)
    axis.set_xlabel("training step")
    axis.set_ylabel(ylabel)
    labels = len(axis.get_legend_handles_labels()[1])
    if labels > 1:
        columns = min(labels, 5 if max(map(len, series)) < 12 else 2)
        figure.legend(
            loc="outside upper left", ncols=columns, fontsize=8, frameon=False
        )
    return svg(figure)


def sweeps(
    panels: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, ylabel: str
) -> str:
    """Values against a setting that doubles, a panel for each; one common scale."""
    figure, axes = canvas(3.2 * len(panels), 2.8, ncols=len(panels), sharey=True)
    for axis, (name, (at, values)) in zip(axes[0], panels.items()):
        axis.plot(at, values, marker="o", color=COLOURS[0], linewidth=1.4)
        axis.set_xscale("log", base=2)
        axis.set_xticks(at, [f"{x:g}" for x in at])
        axis.minorticks_off()
        axis.set_xlabel(name)
    axes[0, 0].set_ylabel(ylabel)
    return svg(figure)


def ends(
    rows: Mapping[str, tuple[float, float | None]],
    *,
    exact: float | None = None,
    unit: str = "nats",
) -> str:
    """Each row's lower end as a point and, up to its upper end, a bar."""
    figure, axes = canvas(6.4, 0.5 + 0.34 * len(rows))
    axis = axes[0, 0]
    for i, (colour, (lower, upper)) in enumerate(zip(_cycle(), rows.values())):
        if upper is not None:
            axis.plot([lower, upper], [i, i], color=colour, linewidth=6, alpha=0.35)
            axis.plot(upper, i, marker="|", color=colour, markersize=11)
        axis.plot(lower, i, marker="|", color=colour, markersize=11, markeredgewidth=2)
    if exact is not None:
        axis.axvline(exact, color="#30343b", linestyle=":", linewidth=1)
    axis.set_yticks(range(len(rows)), list(rows))
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlabel(unit)
    return svg(figure)


def density(
    pictures: Mapping[str, np.ndarray], extent: tuple[float, float, float, float]
) -> str:
    """Densities over the plane, side by side; rows of `pictures[name]` go upwards."""
    num = len(pictures)
    columns = min(num, 3)
    figure, axes = canvas(
        2.1 * columns,
        2.3 * math.ceil(num / columns),
        nrows=math.ceil(num / columns),
        ncols=columns,
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, values) in zip(axes.flat, pictures.items()):
        # A few pixels at a singularity must not leave all others black.
        top = np.quantile(values, 0.998)
        axis.imshow(
            values, extent=extent, origin="lower", cmap="magma", vmin=0.0, vmax=top
        )
        axis.set_title(name)
    return svg(figure)


def images(pictures: np.ndarray, *, columns: int = 10) -> str:
    """A grid of grey or colour images with values in [0, 1], side by side."""
    num, height, width = pictures.shape[:3]
    columns = min(columns, num)
    rows = math.ceil(num / columns)
    blank = np.ones((rows * columns - num, *pictures.shape[1:]))
    tiles = np.concatenate([np.clip(pictures, 0, 1), blank])
    tiles = np.pad(tiles, ((0, 0), (1, 1), (1, 1)) + ((0, 0),) * (tiles.ndim - 3))
    shape = (rows, columns, height + 2, width + 2, *pictures.shape[3:])
    grid = np.moveaxis(tiles.reshape(shape), 2, 1)
    grid = grid.reshape(rows * (height + 2), columns * (width + 2), *shape[4:])
    figure, axes = canvas(0.62 * columns, 0.62 * rows * height / width)
    axes[0, 0].imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="none")
    axes[0, 0].set_axis_off()
    return svg(figure)


def points(places: np.ndarray) -> str:
    """Points in the plane."""
    figure, axes = canvas(3.6, 3.6)
    axis = axes[0, 0]
    axis.scatter(*places.T, s=7, color=COLOURS[0], alpha=0.5, linewidths=0)
    axis.set_aspect("equal", adjustable="datalim")
    return svg(figure)


def examples(drawn: np.ndarray, num: int) -> str | None:
    """What a model drew: the first `num` images, or all points in the plane; `None`
    where there is nothing to see."""
    if drawn.ndim >= 3:
        return images(drawn[:num] / max(1.0, drawn.max()))
    return points(drawn) if drawn.shape[1:] == (2,) else None


def _cycle():
    while True:
        yield from COLOURS
