"""The picture of a result."""

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .result import Evidence

_LOWER, _UPPER, _POINT = "#3566c0", "#d1603d", "#30343b"


def draw(evidence: "Evidence") -> str:
    """Runs as ticks, their means with intervals, the estimate; the thermodynamic curve
    beside them where there is one. SVG text.
    """
    from matplotlib.figure import Figure

    curve = evidence.curve
    columns = 1 if curve is None else 2
    figure = Figure(figsize=(5.2 * columns, 2.4), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    axis = axes[0]
    ends = [("lower", evidence.lower, _LOWER)]
    if evidence.upper is not None:
        ends.append((f"upper ({evidence.upper.kind})", evidence.upper, _UPPER))
    for row, (_, end, colour) in enumerate(ends):
        finite = end.log_z[np.isfinite(end.log_z)]
        axis.plot(finite, np.full(len(finite), row), "|", color=colour, alpha=0.5)
        axis.plot([end.value, end.bound], [row, row], color=colour, linewidth=3)
        axis.plot(end.value, row, "o", color=colour)
    axis.axvline(evidence.estimate.value, color=_POINT, linestyle=":", linewidth=1)
    axis.set_yticks(range(len(ends)), [name for name, *_ in ends])
    axis.set_ylim(-0.7, len(ends) - 0.3)
    axis.set_xlabel("log evidence, nats")
    axis.set_title(evidence.verdict.word)
    if curve is not None:
        axes[1].fill_between(
            curve.beta,
            curve.mean - 2 * curve.se,
            curve.mean + 2 * curve.se,
            color=_LOWER,
            alpha=0.3,
        )
        axes[1].plot(curve.beta, curve.mean, color=_LOWER, linewidth=1.2)
        axes[1].set_xlabel("inverse temperature")
        axes[1].set_ylabel("d log Z / d beta")
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
