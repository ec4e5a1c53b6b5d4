"""Street View House Numbers, cropped 32x32, in grey."""

from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout, Piece, Source
from .formats import read_mat
from .registry import Dataset, register

_URL = "http://ufldl.stanford.edu/housenumbers/"
_BLOCK = 2048


def _mat(part: str, size: int | None, md5: str) -> Source:
    file = f"{part}_32x32.mat"
    return Source(file, f"md5:{md5}", size, (_URL + file,), parts=(part,))


def grey(colour: np.ndarray) -> np.ndarray:
    """`(..., 3)` uint8 to 0.299 R + 0.587 G + 0.114 B, rounded."""
    return np.rint(colour @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def _read(
    folder: Path, layout: Layout | None, part: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images lie along the last axis of `X`: (32, 32, 3, N); label 10 is a zero."""
    path = folder / f"{part}_32x32.mat"
    colour, labels = read_mat(path, "X", "y")
    if colour.ndim != 4 or colour.shape[:3] != (32, 32, 3):
        raise ValueError(
            f"{path}: X has shape {colour.shape}; expected images (32, 32, 3, N)"
        )
    if colour.dtype != np.uint8:
        raise ValueError(f"{path}: X holds {colour.dtype}; expected uint8")
    images = np.empty((colour.shape[3], 32, 32), np.uint8)
    for start in range(0, len(images), _BLOCK):
        block = colour[..., start : start + _BLOCK]
        images[start : start + _BLOCK] = grey(block.transpose(3, 0, 1, 2))
    return images, labels.ravel() % 10


_BOTH, _TRAIN, _TEST = ("train", "extra"), ("train",), Piece(("test",))

SVHN = Dataset(
    Card(
        name="svhn",
        title="SVHN, grey 32x32",
        shape=(32, 32),
        levels=256,
        about="House numbers from street views; 73,257 + 531,131 and 26,032 images.",
        treatment=(
            "256 grey levels, not binarised. Colour becomes grey as 0.299 R + "
            "0.587 G + 0.114 B, rounded (ours; the paper does not say)."
        ),
        licence="none stated (for non-commercial use, by its page)",
        reference="Netzer et al. 2011",
        page=_URL,
        conventions=(
            Convention(
                "buffered",
                (
                    ("train", Piece(_BOTH, stop=-2_000, seed=0)),
                    ("valid", Piece(_BOTH, start=-2_000, seed=0)),
                    ("test", _TEST),
                ),
                (("train", 602_388), ("valid", 2_000), ("test", 26_032)),
                "train and extra together; 2,000 random ones for validation (seed 0, "
                "ours).",
            ),
            Convention(
                "without-extra",
                (
                    ("train", Piece(_TRAIN, stop=-2_000, seed=0)),
                    ("valid", Piece(_TRAIN, start=-2_000, seed=0)),
                    ("test", _TEST),
                ),
                (("train", 71_257), ("valid", 2_000), ("test", 26_032)),
                "Ours, for trying things out without the large file `extra`.",
            ),
        ),
        layouts=(
            Layout(
                "train, test and extra",
                (
                    _mat("train", 182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373"),
                    _mat("test", 64_275_384, "eb5a983be6a315427106f1b164d9cef3"),
                    _mat("extra", None, "a93ce644f1a588dc4d68dda5feec44a7"),
                ),
            ),
            Layout(
                "train and test",
                (
                    _mat("train", 182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373"),
                    _mat("test", 64_275_384, "eb5a983be6a315427106f1b164d9cef3"),
                ),
                whole=False,
            ),
        ),
    ),
    _read,
)
register(SVHN)
