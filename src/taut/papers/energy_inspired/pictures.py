"""Lines on logarithmic axes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...report.figures import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = tuple[Sequence[float], Sequence[float]]


def loglog(lines: Mapping[str, Line], *, xlabel: str, ylabel: str) -> str:
    """A line per name, as SVG text."""
    figure, axis = _drawn(lines, xlabel, ylabel)
    axis.set_yscale("log")
    return svg(figure)


def semilog(
    lines: Mapping[str, Line],
    *,
    xlabel: str,
    ylabel: str,
    reference: tuple[str, float],
) -> str:
    """The same with plain values, and one of them to hold the lines against."""
    figure, axis = _drawn(lines, xlabel, ylabel)
    axis.axhline(reference[1], color="#30343b", linestyle=":", label=reference[0])
    axis.legend(fontsize=8, frameon=False)
    return svg(figure)


def _drawn(
    lines: Mapping[str, Line], xlabel: str, ylabel: str
) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    for name, (x, y) in lines.items():
        axis.plot(x, y, marker="o", markersize=3, label=name)
    axis.set_xscale("log")
    measured = sorted({x for xs, _ in lines.values() for x in xs})
    axis.set_xticks(measured, [f"{x:,}" for x in measured])
    axis.minorticks_off()
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.legend(fontsize=8, frameon=False)
    return figure, axis
