"""The hook for data that are drawn instead of read."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout, Piece
from .registry import Dataset


def synthetic(
    name: str,
    shape: tuple[int, ...],
    draw: Callable[[int, int], np.ndarray],
    sizes: Mapping[str, int],
    about: str,
    *,
    levels: int | None = None,
    seed: int = 0,
) -> Dataset:
    """A dataset whose splits are `draw(seed, count)`, each with a seed of its own.

    Give it to `register`; then `load(name, split)` draws the same numbers each time.
    """
    seeds = {part: seed + place for place, part in enumerate(sizes)}

    def read(folder: Path, layout: Layout | None, part: str):
        drawn = np.asarray(draw(seeds[part], sizes[part]))
        if drawn.shape != (sizes[part], *shape):
            raise ValueError(
                f"{name}: draw({seeds[part]}, {sizes[part]}) gave shape "
                f"{drawn.shape}; expected {(sizes[part], *shape)}"
            )
        return drawn, None

    convention = Convention(
        "drawn",
        tuple((part, Piece((part,))) for part in sizes),
        tuple(sizes.items()),
        f"Drawn with the seeds {seeds}.",
    )
    return Dataset(
        Card(
            name=name,
            title=name,
            shape=shape,
            levels=levels,
            about=about,
            treatment="as drawn",
            licence="drawn here; no data files",
            reference="",
            page="",
            conventions=(convention,),
            seed=seed,
        ),
        read,
    )
