"""Examples of one split, with what is needed to report on them."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from .cards import Card


@dataclass(frozen=True, eq=False)
class Examples:
    """The images of one split as stored: integers below `card.levels`, or floats."""

    card: Card
    title: str
    split: str
    convention: str
    images: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def intensities(self) -> np.ndarray:
        """Grey values in [0, 1] as float32 (real-valued data as they are)."""
        return _intensities(self.images, self.card.levels)

    def mean(self) -> np.ndarray:
        """Mean grey value per pixel, in [0, 1]. Take it from the training split.

        On the dequantised scale [0, 256) it is `255 * mean + 0.5`.
        """
        total = np.zeros(self.images.shape[1:])
        for start in range(0, len(self), 4096):
            block = _intensities(self.images[start : start + 4096], self.card.levels)
            total += block.sum(axis=0, dtype=np.float64)
        return (total / len(self)).astype(np.float32)

    def digest(self) -> str:
        """SHA-256 over the dataset's name, the split and the images' values."""
        return data_digest(self)


def data_digest(*splits: Examples) -> str:
    """SHA-256 over all given splits, for the record of a run."""
    running = hashlib.sha256()
    for one in splits:
        head = (one.card.name, one.split, one.images.dtype.str, one.images.shape)
        running.update(repr(head).encode())
        for start in range(0, len(one), 4096):
            running.update(one.images[start : start + 4096].tobytes())
    return running.hexdigest()


def subset(examples: Examples, count: int, seed: int | None = None) -> Examples:
    """`count` examples by a seeded permutation, in stored order.

    Where there are labels each class keeps its share, to within one example.
    """
    if not 0 < count <= len(examples):
        raise ValueError(f"a subset of {count} out of {len(examples)} examples")
    random = np.random.RandomState(examples.card.seed if seed is None else seed)
    order = random.permutation(len(examples))
    if examples.labels is not None:
        order = order[_spread(examples.labels[order])]
    chosen = np.sort(order[:count])
    labels = None if examples.labels is None else examples.labels[chosen]
    return replace(examples, images=examples.images[chosen], labels=labels)


def _spread(labels: np.ndarray) -> np.ndarray:
    """An order whose every beginning holds the classes in their overall shares."""
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(place, kind="stable")


def _intensities(images: np.ndarray, levels: int | None) -> np.ndarray:
    values = images.astype(np.float32)
    if levels is None or images.dtype.kind == "f":
        return values
    return values / np.float32(levels - 1)
