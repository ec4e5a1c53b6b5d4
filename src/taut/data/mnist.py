"""MNIST, grey: read dynamically (binary) or dequantised (continuous)."""

from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout, Piece, Source
from .formats import read_idx, read_idx_labels
from .registry import Dataset, register

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)


def idx_source(
    file: str, size: int, sha256: str, mirrors: tuple[str, ...] = _MIRRORS
) -> Source:
    """One of the four files, needed by the part that its name begins with."""
    return Source(
        file,
        f"sha256:{sha256}",
        size,
        tuple(mirror + file for mirror in mirrors),
        parts=("train",) if file.startswith("train") else ("test",),
        optional="labels" in file,
    )


def read_idx_part(
    folder: Path, layout: Layout | None, part: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images, and labels where their file is there."""
    prefix = {"train": "train", "test": "t10k"}[part]
    labels = folder / f"{prefix}-labels-idx1-ubyte.gz"
    return (
        read_idx(folder / f"{prefix}-images-idx3-ubyte.gz"),
        read_idx_labels(labels) if labels.exists() else None,
    )


TRAIN, TEST = Piece(("train",)), Piece(("test",))

MNIST = Dataset(
    Card(
        name="mnist",
        title="MNIST",
        shape=(28, 28),
        levels=256,
        about="Handwritten digits, 60,000 for training and 10,000 for testing.",
        treatment=(
            "Dynamic: a pixel is 1 with probability v/255, drawn anew at every read "
            "in training and once, from the card's seed, in validation and test. "
            "Continuous: v + U[0,1), density reported on [0,256)^784."
        ),
        licence="none stated by the authors (often quoted as CC BY-SA 3.0)",
        reference="LeCun, Bottou, Bengio, Haffner 1998, Proc. IEEE 86(11)",
        page="http://yann.lecun.com/exdb/mnist/",
        conventions=(
            Convention(
                "energy-inspired",
                (
                    ("train", Piece(("train",), stop=-10_000)),
                    ("valid", Piece(("train",), start=-10_000)),
                    ("test", TEST),
                ),
                (("train", 50_000), ("valid", 10_000), ("test", 10_000)),
                "First 50,000 for training, last 10,000 for validation. The paper "
                "draws the test images anew at each pass; here they are drawn once.",
            ),
            Convention(
                "annealed",
                (("train", TRAIN), ("test", TEST)),
                (("train", 60_000), ("test", 10_000)),
                "All 60,000 for training, no validation. The paper draws the test "
                "images anew at each pass; here they are drawn once.",
            ),
        ),
        layouts=(
            Layout(
                "MNIST",
                (
                    idx_source(
                        "train-images-idx3-ubyte.gz",
                        9_912_422,
                        "440fcabf73cc546fa21475e81ea37026"
                        "5605f56be210a4024d2ca8f203523609",
                    ),
                    idx_source(
                        "train-labels-idx1-ubyte.gz",
                        28_881,
                        "3552534a0a558bbed6aed32b30c495cc"
                        "a23d567ec52cac8be1a0730e8010255c",
                    ),
                    idx_source(
                        "t10k-images-idx3-ubyte.gz",
                        1_648_877,
                        "8d422c7b0a1c1c79245a5bcf07fe86e3"
                        "3eeafee792b84584aec276f5a2dbc4e6",
                    ),
                    idx_source(
                        "t10k-labels-idx1-ubyte.gz",
                        4_542,
                        "f7ae60f92e00ec6debd23a6088c31dbd"
                        "2371eca3ffa0defaefb259924204aec6",
                    ),
                ),
            ),
        ),
    ),
    read_idx_part,
)
register(MNIST)
