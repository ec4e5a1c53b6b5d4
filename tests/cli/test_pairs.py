"""Paired differences, and what the file keeps."""

import json

import numpy as np
import pytest

from taut.cli import pairs
from taut.cli.train import default_folder
from taut.papers import presets

NAMES = ("static-mnist-vae", "static-mnist-vae-snis", "dynamic-mnist-vae")
CHOSEN = [presets()[name] for name in NAMES]


def put(runs, preset, seed, values, bound="iwae"):
    folder = runs / default_folder(preset, "quick", seed).name
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / pairs.FILE.format(bound=bound), value=np.asarray(values))


def test_differences_are_paired_by_example_and_by_seed():
    base = np.array([[-100.0, -50.0, -70.0], [-101.0, -53.0, -71.0]])
    gain = np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])
    found = pairs.difference(base + gain, base)
    assert found["by_seed"] == pytest.approx([2.0, 3.0])
    assert found["mean"] == pytest.approx(2.5)
    # Over seeds: the spread of (2, 3); over examples: that of (1.5, 2.5, 3.5).
    assert found["se_seeds"] == pytest.approx(0.5)
    assert found["se_examples"] == pytest.approx(1 / np.sqrt(3))


def test_pairs_need_one_data_set_and_the_same_examples(tmp_path):
    path = tmp_path / "results.json"
    put(tmp_path, CHOSEN[0], 0, [1.0, 2.0])
    put(tmp_path, CHOSEN[1], 0, [2.0, 4.0])
    put(tmp_path, CHOSEN[2], 0, [2.0, 4.0])
    pairs.update(path, tmp_path, CHOSEN, "quick", 1)
    (found,) = json.loads(path.read_text())
    assert (found["first"], found["second"]) == NAMES[:2]
    assert found["mean"] == pytest.approx(-1.5)
    assert found["se_seeds"] is None
    assert "-1.50" in (pairs.table(path) or "")


def test_more_seeds_win(tmp_path):
    path = tmp_path / "results.json"
    for seed, values in enumerate(([1.0, 2.0], [5.0, 6.0])):
        put(tmp_path, CHOSEN[0], seed, values)
        put(tmp_path, CHOSEN[1], seed, [0.0, 0.0])
    pairs.update(path, tmp_path, CHOSEN, "quick", 2)
    pairs.update(path, tmp_path, CHOSEN, "quick", 1)
    assert json.loads(path.read_text())[0]["by_seed"] == pytest.approx([1.5, 5.5])


def test_no_runs_no_table(tmp_path):
    path = tmp_path / "results.json"
    pairs.update(path, tmp_path, CHOSEN, "quick", 1)
    assert not path.exists()
    assert pairs.table(path) is None


def test_bounds_are_never_mixed(tmp_path):
    """Annealing is compared with annealing, and has a table of its own."""
    path = tmp_path / "results.json"
    put(tmp_path, CHOSEN[0], 0, [1.0, 2.0])
    put(tmp_path, CHOSEN[1], 0, [0.0, 0.0])
    put(tmp_path, CHOSEN[0], 0, [7.0, 8.0], "ais")
    pairs.update(path, tmp_path, CHOSEN, "quick", 1)
    assert "annealing" not in (pairs.table(path) or "")
    put(tmp_path, CHOSEN[1], 0, [1.0, 1.0], "ais")
    pairs.update(path, tmp_path, CHOSEN, "quick", 1)
    plain, annealed = json.loads(path.read_text())
    assert (plain["mean"], annealed["mean"]) == pytest.approx((1.5, 6.5))
    assert annealed["bound"] == "ais"
    assert (pairs.table(path) or "").count("## Paired differences") == 2
