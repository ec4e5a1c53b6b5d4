"""SVHN's and CelebA's file formats, filled with other photographs: their own files are
not here.
"""

import io
import zipfile

import numpy as np
import pytest

from taut import data


def photographs():
    """4,000 small colour images."""
    found = data.data_home() / "cifar10_subset" / "cifar10_subset4000.npz"
    if not found.is_file():
        pytest.skip(f"{found} is not there (TAUT_DATA)")
    return np.load(found)["images"]


def house_numbers(folder, images):
    """Three MATLAB files in SVHN's format."""
    from scipy.io import savemat

    parts = {"train": (0, 1800), "extra": (1800, 3600), "test": (3600, 4000)}
    for part, (first, last) in parts.items():
        stored = images[first:last].transpose(1, 2, 3, 0)
        labels = np.ones((last - first, 1), np.uint8)
        arrays = {"X": stored, "y": labels}
        savemat(folder / f"{part}_32x32.mat", arrays, do_compression=True)


def faces(folder, images):
    """A zip of 440 JPEG files in CelebA's format, and its partition."""
    from PIL import Image

    parts = [0] * 400 + [1] * 20 + [2] * 20
    names = [f"{i + 1:06d}.jpg" for i in range(len(parts))]
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for name, image in zip(names, images):
            buffer = io.BytesIO()
            resized = Image.fromarray(image).resize((178, 218))
            resized.save(buffer, "JPEG", quality=95)
            archive.writestr(f"img_align_celeba/{name}", buffer.getvalue())
    lines = "".join(f"{name} {part}\n" for name, part in zip(names, parts))
    (folder / "list_eval_partition.txt").write_text(lines)


MADE = {"svhn": house_numbers, "celeba": faces}
