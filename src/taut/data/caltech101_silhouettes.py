"""Caltech-101 silhouettes, 28x28 (Marlin et al. 2010)."""

from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout, Piece, Source
from .formats import read_mat
from .registry import Dataset, register

_FILE = "caltech101_silhouettes_28_split1.mat"


def _read(
    folder: Path, layout: Layout | None, part: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """As stored: column-major pixels, object 0 and background 1."""
    images, labels = read_mat(folder / _FILE, f"{part}_data", f"{part}_labels")
    return images, labels.ravel()


_PIECES = (
    ("train", Piece(("train",))),
    ("valid", Piece(("val",))),
    ("test", Piece(("test",))),
)
_SIZES = (("train", 4_100), ("valid", 2_264), ("test", 2_307))

CALTECH101_SILHOUETTES = Dataset(
    Card(
        name="caltech101_silhouettes",
        title="Caltech-101 silhouettes",
        shape=(28, 28),
        levels=2,
        about=(
            "Filled outlines of objects of 101 classes. Stored lying on their side "
            "(column-major) with the object 0 and the background 1."
        ),
        treatment="Binary as stored; nothing is drawn.",
        licence="none stated",
        reference="Marlin, Swersky, Chen, de Freitas 2010, AISTATS",
        page="https://people.cs.umass.edu/~marlin/data.shtml",
        conventions=(
            Convention(
                "hierarchical",
                _PIECES,
                _SIZES,
                "Values and pixel order as stored: neither inverted nor transposed.",
            ),
            Convention(
                "vampprior",
                _PIECES,
                _SIZES,
                "Upright, object 1 (jmtomczak/vae_vampprior).",
                transpose=True,
                invert=True,
            ),
        ),
        layouts=(
            Layout(
                "split 1",
                (
                    Source(
                        _FILE,
                        "sha256:eb6735e8d84b1850fabc5590124aab17"
                        "55e90c9fd28123585324398405e1e42a",
                        872_124,
                        (f"https://people.cs.umass.edu/~marlin/data/{_FILE}",),
                    ),
                ),
            ),
        ),
    ),
    _read,
)
register(CALTECH101_SILHOUETTES)
