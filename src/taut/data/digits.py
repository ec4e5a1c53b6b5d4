"""Handwritten digits, 8x8, shipped with the package."""

from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout, Piece, Source
from .formats import read_npz
from .registry import Dataset, register


def _read(
    folder: Path, layout: Layout | None, part: str
) -> tuple[np.ndarray, np.ndarray | None]:
    images, labels = read_npz(folder / "digits.npz", "images", "labels")
    return images, labels


DIGITS = Dataset(
    Card(
        name="digits",
        title="Optical digits 8x8",
        shape=(8, 8),
        levels=17,
        about=(
            "1,797 handwritten digits of 13 writers; a pixel counts the ink among "
            "the 16 of a 4x4 block."
        ),
        treatment=(
            "Binary: a pixel is 1 with probability v/16, drawn anew at every read "
            "in training and once, from the card's seed, in validation and test."
        ),
        licence="CC BY 4.0 (builtin/digits-LICENCE.md)",
        reference="Alpaydin & Kaynak 1998, UCI Machine Learning Repository",
        page="https://doi.org/10.24432/C50P49",
        conventions=(
            Convention(
                "demo",
                (
                    ("train", Piece(("all",), stop=-400, seed=0)),
                    ("valid", Piece(("all",), start=-400, stop=-200, seed=0)),
                    ("test", Piece(("all",), start=-200, seed=0)),
                ),
                (("train", 1_397), ("valid", 200), ("test", 200)),
                "Shuffled (seed 0), then cut: ours; no published split.",
            ),
        ),
        layouts=(
            Layout(
                "shipped with taut",
                (
                    Source(
                        "digits.npz",
                        "sha256:b2dab7b501728c22e9119ad76740b2e1"
                        "7c77a231e42d1e592380d90886f1a05e",
                        45_394,
                    ),
                ),
            ),
        ),
        packaged=True,
    ),
    _read,
)
register(DIGITS)
