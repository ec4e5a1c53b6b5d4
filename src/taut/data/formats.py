"""File formats: idx, amat, MATLAB and npz files to arrays, with checks."""

import gzip
import math
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

_IMAGES, _LABELS = 0x803, 0x801


def read_idx(path: Path) -> np.ndarray:
    """Images of an idx file (LeCun's format), gzipped or not: `(N, rows, columns)`."""
    magic, body = _idx(path)
    if magic == _LABELS:
        raise ValueError(f"{path} holds labels; expected an idx file of images")
    if magic != _IMAGES:
        raise ValueError(f"{path} is not an idx file of images (magic {magic:#x})")
    shape = struct.unpack(">3I", body[:12].ljust(12, b"\0"))
    return _idx_values(path, body[12:], shape)


def read_idx_labels(path: Path) -> np.ndarray:
    """Labels of an idx file: `(N,)`."""
    magic, body = _idx(path)
    if magic != _LABELS:
        raise ValueError(f"{path} is not an idx file of labels (magic {magic:#x})")
    shape = struct.unpack(">I", body[:4].ljust(4, b"\0"))
    return _idx_values(path, body[4:], shape)


def _idx(path: Path) -> tuple[int, bytes]:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is damaged or cut short: {error}") from error
    if len(data) < 8:
        raise ValueError(f"{path} is too short for an idx file")
    return struct.unpack(">I", data[:4])[0], data[4:]


def _idx_values(path: Path, body: bytes, shape: tuple[int, ...]) -> np.ndarray:
    if len(body) != math.prod(shape):
        raise ValueError(
            f"{path} promises {math.prod(shape)} values of shape {shape} and holds "
            f"{len(body)}: it is damaged or cut short"
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def read_amat(path: Path, width: int) -> np.ndarray:
    """Rows of `width` digits 0 or 1, separated by single spaces."""
    text = np.fromfile(path, np.uint8)
    if len(text) == 0 or len(text) % (2 * width):
        raise ValueError(
            f"{path} does not consist of rows of {width} digits 0 or 1 with single "
            f"spaces between and newlines (10) after: {len(text)} bytes"
        )
    text = text.reshape(-1, 2 * width)
    values, between = text[:, ::2] - ord("0"), text[:, 1::2]
    if (
        values.max() > 1
        or (between[:, :-1] != 32).any()
        or (between[:, -1] != 10).any()
    ):
        raise ValueError(f"{path} holds something other than rows of 0 and 1")
    return values


def read_mat(path: Path, *keys: str) -> list[np.ndarray]:
    """Arrays of a MATLAB file, versions 5 to 7."""
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=keys)
    except NotImplementedError as error:
        raise ValueError(
            f"{path} is in MATLAB's format 7.3; save it again in format 7"
        ) from error
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a MATLAB file: {error}") from error
    return [_key(path, found, key) for key in keys]


def read_npz(path: Path, *keys: str) -> list[np.ndarray]:
    """Arrays of an npz file; pickled ones are refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as an npz file: {error}") from error
    if damaged:
        raise ValueError(f"{path} is damaged in {damaged}")
    with np.load(path, allow_pickle=False) as found:
        return [_key(path, found, key) for key in keys]


def _key(path, found, key: str) -> np.ndarray:
    if key not in found:
        there = ", ".join(name for name in found if not name.startswith("__"))
        raise ValueError(f"{path} has no array {key!r}; it has: {there or 'none'}")
    return found[key]


def as_images(array: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    """`(N, *shape)` from an array of that shape or of flattened rows."""
    array = np.asarray(array)
    size = math.prod(shape)
    if array.ndim < 2 or (array.ndim == 2 and array.shape[1] == 1 < size):
        raise ValueError(
            f"{where} has shape {array.shape}: these look like labels; expected "
            f"images of shape {shape}"
        )
    if len(array) == 0:
        raise ValueError(f"{where} is empty; expected images of shape {shape}")
    if array.shape[1:] not in (shape, (size,)):
        raise ValueError(
            f"{where} holds examples of shape {array.shape[1:]}; expected {shape}"
        )
    return array.reshape(-1, *shape)


def check_values(images: np.ndarray, levels: int | None, where: str) -> None:
    """Integers must lie in 0..levels-1, floats (grey values) in [0, 1]."""
    if levels is None:
        return
    whole = images.dtype.kind in "ui"
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= (levels - 1 if whole else 1)):
        allowed = f"0..{levels - 1}" if whole else "[0, 1]"
        raise ValueError(f"{where} has values {low}..{high}; expected {allowed}")
