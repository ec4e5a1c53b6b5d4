"""Datasets by name."""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout

# `read(folder, layout, part)` gives the images of a stored part, and labels or None.
Read = Callable[[Path, Layout | None, str], tuple[np.ndarray, np.ndarray | None]]
# `progress(file, done, total)`; `total` is None where it is unknown.
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Dataset:
    """A card and the function that reads what it describes."""

    card: Card
    read: Read
    # Work done once, after the files have come (unpacking).
    prepare: Callable[[Path, Layout, Progress | None], None] | None = None


_datasets: dict[str, Dataset] = {}


def register(dataset: Dataset) -> Dataset:
    """Make a dataset known by its card's name."""
    name = dataset.card.name
    if name in _datasets:
        raise ValueError(f"a dataset {name!r} exists already; choose another name")
    _datasets[name] = dataset
    return dataset


def names() -> tuple[str, ...]:
    """All names that `load` takes."""
    return tuple(sorted(_datasets))


def dataset(name: str) -> Dataset:
    """The dataset of that name."""
    if name not in _datasets:
        raise ValueError(unknown("dataset", name, _datasets))
    return _datasets[name]


def card(name: str) -> Card:
    """The card of that name."""
    return dataset(name).card


def convention_of(card: Card, convention: str | Convention | None) -> Convention:
    """A convention of the card by name; its first one by default."""
    if isinstance(convention, Convention):
        return convention
    if convention is None:
        return card.conventions[0]
    known = {one.name: one for one in card.conventions}
    if convention not in known:
        raise ValueError(unknown(f"convention for {card.name}", convention, known))
    return known[convention]


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not there, with the nearest ones that are."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"unknown {what}: {name!r}. {hint}There are: {', '.join(known)}."
