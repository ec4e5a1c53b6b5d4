"""Omniglot, 28x28: Burda's chardata.mat or images rebuilt from the originals."""

from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout, Piece, Source
from .formats import read_mat, read_npz
from .registry import Dataset, register

_MAT, _NPZ = "chardata.mat", "omniglot_28_rebuilt.npz"


def _read(
    folder: Path, layout: Layout | None, part: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Upright images, ink high; labels are the 50 alphabets."""
    if layout is not None and layout.files[0].file == _MAT:
        prefix = {"train": "", "test": "test"}[part]
        images, target = read_mat(folder / _MAT, f"{prefix}data", f"{prefix}target")
        if images.ndim != 2 or images.shape[0] != 784:
            raise ValueError(
                f"{folder / _MAT}: {prefix}data has shape {images.shape}; expected "
                "(784, N), one image per column"
            )
        # Columns are images, each in column-major pixel order.
        upright = images.T.reshape(-1, 28, 28).swapaxes(1, 2)
        return upright.astype(np.float32), target.argmax(axis=0)
    images, drawer, alphabet = read_npz(folder / _NPZ, "images", "drawer", "alphabet")
    chosen = drawer <= 15 if part == "train" else drawer > 15
    return images[chosen], alphabet[chosen]


TRAIN, TEST = ("train",), Piece(("test",))

OMNIGLOT = Dataset(
    Card(
        name="omniglot",
        title="Omniglot 28x28",
        shape=(28, 28),
        levels=256,
        about=(
            "1,623 characters by 20 drawers: drawers 1-15 for training, 16-20 for "
            "testing. Sizes below are those of chardata.mat; the rebuilt file has "
            "8,115 test images and another row order, so its results are reported "
            "as `Omniglot-28 (rebuilt)` and compare with published ones only roughly."
        ),
        treatment=(
            "Binary: a pixel is 1 with probability its grey value, drawn anew at "
            "every read in training and once, from the card's seed, in validation "
            "and test."
        ),
        licence="MIT",
        reference="Lake et al. 2015, Science 350; 28x28 by Burda et al. 2016 (IWAE)",
        page="https://github.com/yburda/iwae/tree/master/datasets/OMNIGLOT",
        conventions=(
            Convention(
                "buffered",
                (
                    ("train", Piece(TRAIN, stop=-2_000, seed=0)),
                    ("valid", Piece(TRAIN, start=-2_000, seed=0)),
                    ("test", TEST),
                ),
                (("train", 22_345), ("valid", 2_000), ("test", 8_070)),
                "2,000 random training images for validation (seed 0, ours).",
            ),
            Convention(
                "annealed",
                (("train", Piece(TRAIN)), ("test", TEST)),
                (("train", 24_345), ("test", 8_070)),
                "All for training, no validation. The paper draws the test images "
                "anew at each pass; here they are drawn once.",
            ),
            Convention(
                "hierarchical",
                (
                    ("train", Piece(TRAIN, stop=-1_345, seed=123)),
                    ("valid", Piece(TRAIN, start=-1_345, seed=123)),
                    ("test", TEST),
                ),
                (("train", 23_000), ("valid", 1_345), ("test", 8_070)),
                "1,345 training images by RandomState(123) for validation. The paper "
                "draws all splits anew at each pass; here only training.",
            ),
        ),
        layouts=(
            Layout(
                "Omniglot-28 (chardata.mat)",
                (
                    Source(
                        _MAT,
                        "git-blob:016a3536ffe5e1d38e42563a18d7a78bfaf643ec",
                        None,
                        (
                            "https://github.com/yburda/iwae/raw/master/datasets/"
                            "OMNIGLOT/chardata.mat",
                        ),
                    ),
                ),
            ),
            Layout(
                "Omniglot-28 (rebuilt)",
                (
                    Source(
                        _NPZ,
                        "sha256:6e461589fd46bc307337c1f51e0e8dcd"
                        "3e8700e9dd9ac2a9a346b9339659b47e",
                        5_101_657,
                    ),
                ),
                whole=False,
            ),
        ),
    ),
    _read,
)
register(OMNIGLOT)
