"""MNIST in the fixed binarisation of Salakhutdinov & Murray, by Larochelle."""

from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout, Piece, Source
from .formats import read_amat, read_npz
from .registry import Dataset, register

_URL = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
_PACKED = "static_mnist_packed.npz"


def _amat(part: str, size: int, sha256: str) -> Source:
    file = f"binarized_mnist_{part}.amat"
    return Source(file, f"sha256:{sha256}", size, (_URL + file,), parts=(part,))


def _read(
    folder: Path, layout: Layout | None, part: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of 784 bits, as text or packed; only the packed file estimates labels."""
    if layout is not None and layout.files[0].file == _PACKED:
        packed, labels = read_npz(folder / _PACKED, part, f"{part}_label_est")
        return np.unpackbits(packed, axis=1), labels
    return read_amat(folder / f"binarized_mnist_{part}.amat", 784), None


_PIECES = (
    ("train", Piece(("train",))),
    ("valid", Piece(("valid",))),
    ("test", Piece(("test",))),
)
_SIZES = (("train", 50_000), ("valid", 10_000), ("test", 10_000))

STATIC_MNIST = Dataset(
    Card(
        name="static_mnist",
        title="MNIST, fixed binarisation",
        shape=(28, 28),
        levels=2,
        about=(
            "MNIST binarised once. The test split is sorted by class: take subsets "
            "by `subset`, never the first n. Training and validation are a shuffled "
            "partition of MNIST's training images."
        ),
        treatment="Binary as stored; nothing is drawn.",
        licence="none stated",
        reference="Salakhutdinov & Murray 2008; Larochelle & Murray 2011 (NADE)",
        page=_URL,
        conventions=(
            Convention("energy-inspired", _PIECES, _SIZES, "As stored."),
            Convention("hierarchical", _PIECES, _SIZES, "As stored."),
        ),
        layouts=(
            # Identical in content; the packed one is 40 times smaller.
            Layout(
                "packed bits",
                (
                    Source(
                        _PACKED,
                        "sha256:369a93eb728aec4929ad4bcaff33414f"
                        "ec253023bb5ccb997629eff167c11bcb",
                        2_543_733,
                    ),
                ),
            ),
            Layout(
                "the three .amat files",
                (
                    _amat(
                        "train",
                        78_400_000,
                        "ad693b29f94c14277b095f5238ddefbb"
                        "daaae0939789dd2f4f0205278cee3e4d",
                    ),
                    _amat(
                        "valid",
                        15_680_000,
                        "1de3d397c40fe8eeb33dafd4099a1f66"
                        "5ec01e96d9be234aaeeac8a34930e2e2",
                    ),
                    _amat(
                        "test",
                        15_680_000,
                        "e6687bfea3f820c174f33b7865140b2a"
                        "2dd2930ef786f35d45795fc193b5ab2c",
                    ),
                ),
            ),
        ),
    ),
    _read,
)
register(STATIC_MNIST)
