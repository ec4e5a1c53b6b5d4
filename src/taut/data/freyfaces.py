"""Frey faces: 1,965 frames of one face, grey, 28x20."""

from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout, Piece, Source
from .formats import read_mat, read_npz
from .registry import Dataset, register

_NPZ, _MAT = "freyfaces.npz", "frey_rawface.mat"


def _read(
    folder: Path, layout: Layout | None, part: str
) -> tuple[np.ndarray, np.ndarray | None]:
    if layout is not None and layout.files[0].file == _MAT:
        (columns,) = read_mat(folder / _MAT, "ff")
        return columns.T, None
    (images,) = read_npz(folder / _NPZ, "images")
    return images, None


FREYFACES = Dataset(
    Card(
        name="freyfaces",
        title="Frey faces",
        shape=(28, 20),
        levels=256,
        about="1,965 frames of a video of one face.",
        treatment="256 grey levels; on the unit interval (v + 0.5)/256.",
        licence="none stated",
        reference="Roweis, Saul, Hinton 2002; as in jmtomczak/vae_vampprior",
        page="https://cs.nyu.edu/~roweis/data.html",
        conventions=(
            Convention(
                "vampprior",
                (
                    ("train", Piece(("all",), stop=-400, seed=0)),
                    ("valid", Piece(("all",), start=-400, stop=-200, seed=0)),
                    ("test", Piece(("all",), start=-200, seed=0)),
                ),
                (("train", 1_565), ("valid", 200), ("test", 200)),
                "Shuffled (seed 0, ours), then cut.",
            ),
        ),
        layouts=(
            Layout(
                "npz",
                (
                    Source(
                        _NPZ,
                        "sha256:6da2935825451041b1a232d8e424af57"
                        "4072949cc53b67129d2fc54fb249e0c3",
                        996_887,
                    ),
                ),
            ),
            Layout(
                "frey_rawface.mat (frames as columns of `ff`)",
                (Source(_MAT, urls=(f"https://cs.nyu.edu/~roweis/data/{_MAT}",)),),
            ),
        ),
    ),
    _read,
)
register(FREYFACES)
