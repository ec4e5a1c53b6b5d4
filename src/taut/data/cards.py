"""What a dataset is: sources, checksums, splits, licence."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Source:
    """One file, or one folder of images, of a dataset."""

    file: str
    # Strongest known sum: "sha256:...", "md5:..." or "git-blob:..."; None if unknown.
    checksum: str | None = None
    size: int | None = None
    urls: tuple[str, ...] = ()
    # The stored parts that need this file; none named means all of them.
    parts: tuple[str, ...] = ()
    optional: bool = False
    folder: bool = False


@dataclass(frozen=True)
class Layout:
    """One set of files that holds the whole dataset."""

    title: str
    files: tuple[Source, ...]
    # False for a stand-in or a part of the published set.
    whole: bool = True

    @property
    def fetchable(self) -> bool:
        return all(source.urls for source in self.files)


@dataclass(frozen=True)
class Piece:
    """`[start:stop]` of the joined parts, in stored order or permuted by `seed`.

    The permutation is `numpy.random.RandomState(seed)`'s, which never changes.
    """

    parts: tuple[str, ...]
    start: int | None = None
    stop: int | None = None
    seed: int | None = None

    def take(self, array: np.ndarray) -> np.ndarray:
        """The piece of a joined array; without a seed it is a view."""
        held_out = -min(self.start or 0, self.stop or 0, 0)
        if held_out >= len(array):
            raise ValueError(
                f"{len(array)} examples in {'+'.join(self.parts)} leave the split "
                f"empty: {held_out} of them are held out. Use a convention that "
                "holds out fewer, or more data."
            )
        window = slice(self.start, self.stop)
        if self.seed is None:
            return array[window]
        order = np.random.RandomState(self.seed).permutation(len(array))
        return array[order[window]]


@dataclass(frozen=True)
class Convention:
    """How one paper (by the name its presets use) splits and reads the data."""

    name: str
    pieces: tuple[tuple[str, Piece], ...]
    sizes: tuple[tuple[str, int], ...]
    note: str
    # Swap rows and columns; take `levels - 1 - value`.
    transpose: bool = False
    invert: bool = False


@dataclass(frozen=True)
class Card:
    """Everything there is to say about a dataset before its files are read."""

    name: str
    title: str
    # Shape of one example.
    shape: tuple[int, ...]
    # Number of integer levels, 0 to levels - 1; None for real values.
    levels: int | None
    about: str
    # What is binary and what is continuous, and how one gets there.
    treatment: str
    licence: str
    reference: str
    page: str
    # The first one is the default.
    conventions: tuple[Convention, ...]
    # The first complete one in the folder is read; none for data that are drawn.
    layouts: tuple[Layout, ...] = ()
    # Default seed of fixed draws (binarisation of validation and test, subsets).
    seed: int = 0
    # Shipped inside the package.
    packaged: bool = False
