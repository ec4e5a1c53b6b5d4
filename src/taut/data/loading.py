"""`load`: a dataset's split as arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout
from .checking import require
from .errors import MissingData
from .examples import Examples
from .folder import folder_of
from .formats import as_images, check_values
from .layouts import complete, missing_message, nearest
from .registry import Dataset, convention_of, dataset, names, unknown


@dataclass(frozen=True)
class Listing:
    """One line of the list of datasets: what it is, where it lies or would lie."""

    card: Card
    folder: Path
    ready: bool
    layout: str | None


def listing(*, root: Path | None = None) -> tuple[Listing, ...]:
    """All datasets and whether their files are there; checksums are not computed."""
    return tuple(_listing(dataset(name).card, root) for name in names())


def _listing(card: Card, root: Path | None) -> Listing:
    folder = folder_of(card, root)
    found = [layout.title for layout in card.layouts if complete(layout, folder)]
    ready = bool(found) or not card.layouts
    return Listing(card, folder, ready, found[0] if found else None)


def load(
    name: str,
    split: str,
    *,
    convention: str | Convention | None = None,
    root: Path | None = None,
) -> Examples:
    """One split of a dataset, in a paper's convention (the card's first by default)."""
    data = dataset(name)
    card = data.card
    chosen = convention_of(card, convention)
    pieces = dict(chosen.pieces)
    if split not in pieces:
        what = f"split of {name} in convention {chosen.name!r}"
        raise ValueError(unknown(what, split, pieces))
    piece = pieces[split]
    folder = folder_of(card, root)
    layout = _layout(card, folder, piece.parts)
    parts = [_part(data, folder, layout, part) for part in piece.parts]
    images = piece.take(_join([images for images, _ in parts]))
    if len(images) == 0:
        raise ValueError(f"the split {split!r} of {name} is empty")
    labels = [labels for _, labels in parts if labels is not None]
    return Examples(
        card,
        layout.title if layout else card.title,
        split,
        chosen.name,
        _viewed(images, card, chosen),
        piece.take(_join(labels)) if len(labels) == len(parts) else None,
    )


def _layout(card: Card, folder: Path, parts: tuple[str, ...]) -> Layout | None:
    if not card.layouts:
        return None
    layout = nearest(card, folder, parts)
    if not complete(layout, folder, parts):
        raise MissingData(missing_message(card, folder, parts))
    return layout


def _part(data: Dataset, folder: Path, layout: Layout | None, part: str):
    """The checked arrays of one stored part."""
    card = data.card
    where = f"{card.name} ({part})"
    if layout is not None:
        require(card.name, layout, folder, part)
        where = f"{folder} ({part})"
    images, labels = data.read(folder, layout, part)
    images = as_images(images, card.shape, where)
    check_values(images, card.levels, where)
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{where}: {len(labels)} labels for {len(images)} images")
    return images, labels


def _join(arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _viewed(images: np.ndarray, card: Card, convention: Convention) -> np.ndarray:
    if convention.transpose:
        images = images.swapaxes(1, 2)
    if convention.invert:
        if card.levels is None:
            raise ValueError(f"{card.name} is real-valued and cannot be inverted")
        images = images.dtype.type(card.levels - 1) - images
    return images
