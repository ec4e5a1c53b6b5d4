"""How the toy's figures are drawn."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...report.figures import COLOURS, canvas, svg
from .toy import log_ring
from .toy_runs import WINDOW

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves(curves: Mapping[str, Any], panels: Mapping[str, str]) -> str:
    """Curves along training: the mean over seeds and one standard deviation."""
    figure, axes = canvas(3.1 * len(panels), 2.9, ncols=len(panels))
    for axis, (what, label) in zip(axes.flat, panels.items()):
        for colour, (name, curve) in zip(COLOURS, curves.items()):
            mean, sd = curve[what].mean(axis=1), curve[what].std(axis=1)
            axis.plot(curve["step"], mean, color=colour, label=name)
            band = (curve["step"], mean - sd, mean + sd)
            axis.fill_between(*band, color=colour, alpha=0.18, linewidth=0)
        later = [c[what][len(c[what]) // 5 :].ravel() for c in curves.values()]
        late = np.concatenate(later)
        low, high = np.percentile(late, [0.5, 97])
        axis.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
        axis.set_xlabel("training step")
        axis.set_title(label)
    axes.flat[0].legend(fontsize=8)
    return svg(figure)


def seeds(curves: Mapping[str, Any], panels: Mapping[str, str]) -> str:
    """Curves along training on a logarithmic scale, a line for every seed."""
    figure, axes = canvas(3.1 * len(panels), 2.9, ncols=len(panels))
    for axis, (what, label) in zip(axes.flat, panels.items()):
        for colour, (name, curve) in zip(COLOURS, curves.items()):
            lines = axis.plot(
                curve["step"], curve[what], color=colour, alpha=0.7, linewidth=0.9
            )
            lines[0].set_label(name)
        axis.set_yscale("log")
        axis.set_xlabel("training step")
        axis.set_title(label)
    axes.flat[0].legend(fontsize=8)
    return svg(figure)


def matrices(matrices: Mapping[str, np.ndarray]) -> str:
    """Correlation matrices, with their numbers."""
    figure, axes = canvas(2.6 * len(matrices), 2.5, ncols=len(matrices))
    for axis, (name, matrix) in zip(axes.flat, matrices.items()):
        axis.grid(visible=False)
        axis.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        for (i, j), value in np.ndenumerate(matrix):
            ink = "white" if abs(value) > 0.6 else "black"
            place = {"ha": "center", "va": "center", "fontsize": 9, "color": ink}
            axis.text(j, i, f"{value:.2f}", **place)
        axis.set_xticks(range(len(matrix)), range(1, len(matrix) + 1))
        axis.set_yticks(range(len(matrix)), range(1, len(matrix) + 1))
        axis.set_title(f"trained with {name}")
    return svg(figure)


def _contours(axis: "Axes") -> None:
    line = jnp.linspace(-WINDOW, WINDOW, 120)
    grid = jnp.stack(jnp.meshgrid(line, line), axis=-1)
    values = np.exp(np.asarray(jax.vmap(jax.vmap(log_ring))(grid)))
    axis.contour(line, line, values, levels=4, colors="#8a8f98", linewidths=0.6)
    axis.set_xlim(-WINDOW, WINDOW)
    axis.set_ylim(-WINDOW, WINDOW)
    axis.set_aspect("equal")
    axis.grid(visible=False)


def scatter(found: Mapping[str, tuple[Array, Array]]) -> str:
    """Draws of each proposal (columns), in the colour of their root."""
    figure, axes = canvas(6.4, 2.1 * len(found), nrows=len(found), ncols=3)
    for row, (name, (zs, root)) in zip(axes, found.items()):
        centred = np.asarray(root) - np.asarray(root).mean(axis=0)
        hue = np.arctan2(centred[:, 1], centred[:, 0])
        for j, axis in enumerate(row):
            _contours(axis)
            x, y = np.asarray(zs)[:, j].T
            axis.scatter(x, y, c=hue, cmap="hsv", s=2, linewidths=0, rasterized=True)
            axis.set_title(f"{name}, j = {j + 1}")
    return svg(figure)


def maps(maps: Mapping[str, np.ndarray]) -> str:
    """Weights over the plane, one picture for each branch."""
    figure, axes = canvas(6.4, 2.2 * len(maps), nrows=len(maps), ncols=3)
    extent = (-WINDOW, WINDOW, -WINDOW, WINDOW)
    for row, (name, pi) in zip(axes, maps.items()):
        for j, axis in enumerate(row):
            picture = {"cmap": "viridis", "vmin": 0, "vmax": 1, "origin": "lower"}
            axis.imshow(pi[j], extent=extent, **picture)
            _contours(axis)
            axis.set_title(f"{name}, j = {j + 1}")
    return svg(figure)
