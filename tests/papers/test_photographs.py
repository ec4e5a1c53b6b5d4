"""Rows on SVHN and CelebA, whose files are not here: the commands, on photographs in
files of the same formats, through the same loaders. The networks are those of the
`quick` budget (reduced), the batches those of the rows.
"""

import json
import os
import subprocess
import sys

import numpy as np
import photographs
import pytest

TAUT = "import sys; from taut.cli import main; sys.exit(main())"


@pytest.fixture
def imported(tmp_path, monkeypatch, taut):
    """Files of a data set's format, made and then taken by `taut data import`."""

    def take(name):
        files = tmp_path / "files"
        files.mkdir()
        photographs.MADE[name](files, images)
        taut("data", "import", name, "--from", str(files), "--accept-other")

    images = photographs.photographs()
    monkeypatch.setenv("TAUT_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return take


@pytest.fixture
def taut(tmp_path):
    """The command, in a process of its own: at full optimisation, in float32."""

    def command(*argv):
        environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
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
def test_house_numbers(imported, taut, tmp_path):
    """BSVI-SIR, nine steps of SVI, batch of 50, on 32x32 images in SVHN's format."""
    imported("svhn")
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
def test_faces(imported, taut, tmp_path):
    """HIS on a small VAE, five leapfrog steps, batch of 128, on 64x64 colour images
    out of a zip of JPEG files in CelebA's format.
    """
    imported("celeba")
    name = "continuous-celeba-his-on-small-vae"
    taut("train", name, "--out", "run", "--quiet", "--steps", "50")
    assert rises(tmp_path / "run") > 100
    argv = ("--images", "4", "--samples", "2", "--simulated", "2", "--json", "--quiet")
    told = json.loads(taut("evaluate", "run", *argv, "--simulated-samples", "2"))
    assert told["lower"]["examples"] == 4
    assert np.isfinite(told["lower"]["mean"])
    assert told["simulated"]["lower"]["mean"] < told["simulated"]["upper"]["mean"]
