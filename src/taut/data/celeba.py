"""CelebA, aligned faces, cropped and shrunk to 64x64 as for the EIM paper."""

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .cards import Card, Convention, Layout, Piece, Source
from .registry import Dataset, Progress, register

_PACKED, _ZIP, _FOLDER = "celeba_64.npy", "img_align_celeba.zip", "img_align_celeba"
_PARTITION = "list_eval_partition.txt"
_NUMBERS = {"train": 0, "valid": 1, "test": 2}


def shrink(picture: np.ndarray) -> np.ndarray:
    """(218, 178, 3) to (64, 64, 3): centre crop 160, bilinear without smoothing.

    Pixel i is sampled at 2.5 i, so odd ones are means of two neighbours (the paper's
    `resize_images` of TensorFlow 1). The paper keeps quarter steps; here values are
    rounded, so that adding U[0, 1) makes a density on [0, 256).
    """
    if picture.shape != (218, 178, 3):
        raise ValueError(
            f"picture of shape {picture.shape}; expected (218, 178, 3), as in "
            f"{_ZIP} of the aligned and cropped CelebA"
        )
    crop = picture[29:189, 9:169].astype(np.float32)
    low, high = (np.arange(64) * 5) // 2, (np.arange(64) * 5 + 1) // 2
    rows = (crop[low] + crop[high]) / 2
    both = (rows[:, low] + rows[:, high]) / 2
    return np.floor(both + 0.5).astype(np.uint8)


def _partition(folder: Path) -> tuple[list[str], np.ndarray]:
    """File names and the number of the part of each."""
    path = folder / _PARTITION
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    if not lines or any(len(line) != 2 or line[1] not in "012" for line in lines):
        raise ValueError(f"{path} does not consist of lines `000001.jpg 0`")
    return [line[0] for line in lines], np.array([int(line[1]) for line in lines])


def _decode(files: Sequence[str], read: Callable[[str], bytes]):
    """One shrunk picture after the other."""
    from PIL import Image

    for file in files:
        try:
            with Image.open(io.BytesIO(read(file))) as picture:
                values = np.asarray(picture.convert("RGB"))
        except (OSError, KeyError) as error:
            raise ValueError(f"{file} cannot be read as a picture: {error}") from error
        try:
            yield shrink(values)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None


def _pictures(folder: Path, layout: Layout, files: Sequence[str]):
    """The pictures of a zip file or of a folder."""
    if layout.files[0].folder:
        yield from _decode(files, lambda file: (folder / _FOLDER / file).read_bytes())
        return
    try:
        archive = zipfile.ZipFile(folder / _ZIP)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{folder / _ZIP} is damaged: {error}") from error
    with archive:
        inside = f"{_FOLDER}/" if f"{_FOLDER}/{files[0]}" in archive.namelist() else ""
        yield from _decode(files, lambda file: archive.read(inside + file))


def pack(folder: Path, layout: Layout, progress: Progress | None) -> None:
    """Decode all pictures once into `celeba_64.npy`, which loads at once."""
    if layout.files[0].file == _PACKED:
        return
    files, _ = _partition(folder)
    partial = folder / f"{_PACKED}.part"
    packed = np.lib.format.open_memmap(
        partial, mode="w+", dtype=np.uint8, shape=(len(files), 64, 64, 3)
    )
    for index, picture in enumerate(_pictures(folder, layout, files)):
        packed[index] = picture
        if progress is not None:
            progress(_PACKED, index + 1, len(files))
    packed.flush()
    partial.replace(folder / _PACKED)


def _read(
    folder: Path, layout: Layout | None, part: str
) -> tuple[np.ndarray, np.ndarray | None]:
    files, numbers = _partition(folder)
    chosen = np.flatnonzero(numbers == _NUMBERS[part])
    if len(chosen) == 0:
        raise ValueError(f"{folder / _PARTITION} names no pictures for {part!r}")
    if layout is not None and layout.files[0].file != _PACKED:
        wanted = [files[index] for index in chosen]
        return np.stack(list(_pictures(folder, layout, wanted))), None
    packed = np.load(folder / _PACKED, mmap_mode="r", allow_pickle=False)
    if packed.shape != (len(files), 64, 64, 3) or packed.dtype != np.uint8:
        raise ValueError(
            f"{folder / _PACKED} holds {packed.dtype} of shape {packed.shape}; "
            f"expected uint8 of shape {(len(files), 64, 64, 3)}, one picture per line "
            f"of {_PARTITION}"
        )
    first, last = chosen[0], chosen[-1] + 1
    # The official parts are contiguous: a view of the file, nothing is copied.
    return packed[first:last] if last - first == len(chosen) else packed[chosen], None


_SPLIT_FILE = Source(_PARTITION, "md5:d32c9cbf5e040fd4025c592c306e6668")

CELEBA = Dataset(
    Card(
        name="celeba",
        title="CelebA 64x64",
        shape=(64, 64, 3),
        levels=256,
        about=(
            "202,599 faces, aligned; centre crop 160x160, bilinear to 64x64, rounded."
        ),
        treatment="Continuous: v + U[0,1), density reported on [0,256)^12288.",
        licence="for non-commercial research only, by its page",
        reference="Liu, Luo, Wang, Tang 2015, ICCV",
        page="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        conventions=(
            Convention(
                "energy-inspired",
                tuple((part, Piece((part,))) for part in _NUMBERS),
                (("train", 162_770), ("valid", 19_867), ("test", 19_962)),
                "The official partition (list_eval_partition.txt).",
            ),
        ),
        layouts=(
            Layout("packed 64x64 array", (Source(_PACKED), _SPLIT_FILE)),
            Layout(
                "zip of the aligned pictures",
                (
                    Source(_ZIP, "md5:00d2c5bc6d35e252742224ab0c1e8fcb"),
                    _SPLIT_FILE,
                ),
            ),
            Layout(
                "folder of the aligned pictures",
                (Source(_FOLDER, folder=True), _SPLIT_FILE),
            ),
        ),
    ),
    _read,
    pack,
)
register(CELEBA)
