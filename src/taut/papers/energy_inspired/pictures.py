"""Lines on logarithmic axes."""

from collections.abc import Mapping, Sequence

Line = tuple[Sequence[float], Sequence[float]]


def loglog(lines: Mapping[str, Line], *, xlabel: str, ylabel: str) -> str:
    """A line per name, as SVG text."""
    from matplotlib.figure import Figure

    from ...report.figures import svg

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    for name, (x, y) in lines.items():
        axis.loglog(x, y, marker="o", markersize=3, label=name)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.legend(fontsize=8, frameon=False)
    return svg(figure)
