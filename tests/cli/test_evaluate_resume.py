"""An evaluation that is cut off goes on to the numbers it would have had."""

import functools
import json
import shutil

import numpy as np
import pytest

from taut.cli import evaluate, main, partial

from . import tiny

AIS = ["--bound", "ais", "--temperatures", "4", "--chains", "2", "--leapfrogs", "2"]
BOUNDS = {"iwae": ["--samples", "3"], "ais": AIS}
# Blocks in all: four of test examples (annealing: one), two of simulated ones.
CUT = {"iwae": 5, "ais": 2}


@pytest.fixture
def folder(monkeypatch, tmp_path, float32):
    for module in ("options", "experiments", "reproduce"):
        monkeypatch.setattr(f"taut.cli.{module}.presets", tiny.presets)
    short = functools.partial(evaluate.lower_end, block=3)
    monkeypatch.setattr(evaluate, "lower_end", short)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "tiny", "--out", "run", "--steps", "3", "--quiet"]) == 0
    return tmp_path


def numbers(capsys, run, argv):
    capsys.readouterr()
    argv = ["evaluate", run, "--simulated", "12", "--json", "--quiet", *argv]
    assert main(argv) == 0
    told = json.loads(capsys.readouterr().out)
    told.pop("seconds")
    return told


class Counter:
    """Counts the blocks that are made, and stops everything after the `last`."""

    def __init__(self, monkeypatch, last=None):
        self.made, write = 0, partial.Partial._write

        def counted(kept, *block):
            write(kept, *block)
            self.made += 1
            if self.made == last:
                raise KeyboardInterrupt

        monkeypatch.setattr(partial.Partial, "_write", counted)


@pytest.mark.xdist_group("cli")
@pytest.mark.parametrize(
    "bound", ["iwae", pytest.param("ais", marks=pytest.mark.thorough)]
)
def test_cut_off(folder, capsys, monkeypatch, bound):
    argv = BOUNDS[bound]
    whole = numbers(capsys, "run", argv)
    kept = folder / f"run/evaluation-partial-{bound}"
    assert not kept.exists()
    values = np.load(folder / f"run/evaluation-{bound}.npz")
    blocks = 6 if bound == "iwae" else 3
    last = CUT[bound]
    with monkeypatch.context() as patch:
        Counter(patch, last)
        asked = ["evaluate", "run", "--simulated", "12", "--quiet", *argv]
        assert main(asked) == 130
    assert len(list(kept.glob("*.npz"))) == last
    with monkeypatch.context() as patch:
        counter = Counter(patch)
        assert numbers(capsys, "run", argv) == whole
        assert counter.made == blocks - last
    assert not kept.exists()
    again = np.load(folder / f"run/evaluation-{bound}.npz")
    assert np.array_equal(values["value"], again["value"])


@pytest.mark.xdist_group("cli")
def test_blocks_of_another_evaluation_are_not_used(folder, capsys, monkeypatch):
    """Other settings, other parameters or a damaged file: made anew."""
    argv = BOUNDS["iwae"]
    whole = numbers(capsys, "run", argv)
    kept = folder / "run/evaluation-partial-iwae"
    with monkeypatch.context() as patch:
        Counter(patch, 3)
        asked = ["evaluate", "run", "--simulated", "12", "--quiet", *argv]
        assert main(asked) == 130
    shutil.copytree(kept, folder / "half")

    def made(run, argv):
        with monkeypatch.context() as patch:
            counter = Counter(patch)
            told = numbers(capsys, run, argv)
            return told, counter.made

    assert made("run", [*argv, "--seed", "1"])[1] == 6
    shutil.copytree(folder / "half", kept)
    (kept / "test-00000003.npz").write_bytes(b"half a file")
    # The third block is there, but blocks are read in order, up to the damage.
    told, count = made("run", argv)
    assert (told, count) == (whole, 5)
    argv_train = ["train", "tiny", "--out", "other", "--steps", "4", "--quiet"]
    assert main(argv_train) == 0
    shutil.copytree(folder / "half", folder / "other/evaluation-partial-iwae")
    assert made("other", argv)[1] == 6
