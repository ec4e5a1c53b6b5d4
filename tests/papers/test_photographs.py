"""Rows on SVHN and CelebA, whose files are not here: the commands, on photographs in
files of the same formats, through the same loaders. The networks are those of the
`quick` budget (reduced), the batches those of the rows.
"""

import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from taut import data

TAUT = "import sys; from taut.cli import main; sys.exit(main())"


@pytest.fixture
def photographs():
    """4,000 small colour images."""
    found = data.data_home() / "cifar10_subset" / "cifar10_subset4000.npz"
    if not found.is_file():
        pytest.skip(f"{found} is not there (TAUT_DATA)")
    return np.load(found)["images"]


@pytest.fixture
def taut(tmp_path, monkeypatch):
    """The command, in a process of its own: at full optimisation, in float32."""
    monkeypatch.setenv("TAUT_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}

    def command(*argv):
        run = subprocess.run(
            [sys.executable, "-c", TAUT, *argv],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    return command


def rises(folder, metric="bound"):
    """50 steps were made, and the bound was nearer to zero in the last of them."""
    rows = [json.loads(row) for row in open(folder / "metrics.jsonl")]
    values = [row[metric] for row in rows if metric in row]
    print(values)
    assert rows[-1]["step"] == 50
    assert np.isfinite(values).all()
    return values[-1] - values[0]


@pytest.mark.thorough
def test_house_numbers(photographs, taut, tmp_path):
    """BSVI-SIR, nine steps of SVI, batch of 50, on 32x32 images in SVHN's format."""
    from scipy.io import savemat

    files = tmp_path / "files"
    files.mkdir()
    parts = {"train": (0, 1800), "extra": (1800, 3600), "test": (3600, 4000)}
    for part, (first, last) in parts.items():
        stored = photographs[first:last].transpose(1, 2, 3, 0)
        labels = np.ones((last - first, 1), np.uint8)
        arrays = {"X": stored, "y": labels}
        savemat(files / f"{part}_32x32.mat", arrays, do_compression=True)
    taut("data", "import", "svhn", "--from", str(files), "--accept-other")
    name = "buffered-svhn-bsvi-sir"
    flags = ("--steps", "50", "--validate-every", "25", "--validation-images", "10")
    few = ("--examination.steps", "4", "--examination.counts", "2", "4")
    taut("train", name, "--out", "run", "--quiet", *flags, *few)
    assert rises(tmp_path / "run") > 100
    argv = ("--images", "4", "--simulated", "0", "--json", "--quiet")
    told = json.loads(taut("evaluate", "run", *argv))
    assert told["lower"]["examples"] == 4
    assert np.isfinite(told["lower"]["mean"])
    assert told["report"]["test"]["rejected_steps"] == 0
    assert 1e-3 < told["report"]["scale"] < 1


@pytest.mark.thorough
def test_faces(photographs, taut, tmp_path):
    """HIS on a small VAE, five leapfrog steps, batch of 128, on 64x64 colour images
    out of a zip of JPEG files in CelebA's format.
    """
    from PIL import Image

    files = tmp_path / "files"
    files.mkdir()
    parts = [0] * 400 + [1] * 20 + [2] * 20
    names = [f"{i + 1:06d}.jpg" for i in range(len(parts))]
    with zipfile.ZipFile(files / "img_align_celeba.zip", "w") as archive:
        for name, image in zip(names, photographs):
            buffer = io.BytesIO()
            resized = Image.fromarray(image).resize((178, 218))
            resized.save(buffer, "JPEG", quality=95)
            archive.writestr(f"img_align_celeba/{name}", buffer.getvalue())
    lines = "".join(f"{name} {part}\n" for name, part in zip(names, parts))
    (files / "list_eval_partition.txt").write_text(lines)
    taut("data", "import", "celeba", "--from", str(files), "--accept-other")
    name = "continuous-celeba-his-on-small-vae"
    taut("train", name, "--out", "run", "--quiet", "--steps", "50")
    assert rises(tmp_path / "run") > 100
    argv = ("--images", "4", "--samples", "2", "--simulated", "2", "--json", "--quiet")
    told = json.loads(taut("evaluate", "run", *argv, "--simulated-samples", "2"))
    assert told["lower"]["examples"] == 4
    assert np.isfinite(told["lower"]["mean"])
    assert told["simulated"]["lower"]["mean"] < told["simulated"]["upper"]["mean"]
