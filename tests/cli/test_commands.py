"""The commands, as a user would type them, on an experiment of three pixels."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from taut.cli import COMMANDS, main

from . import tiny


@pytest.fixture
def experiment(monkeypatch, tmp_path):
    for module in ("options", "experiments", "reproduce"):
        monkeypatch.setattr(f"taut.cli.{module}.presets", tiny.presets)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_does_not_import_jax():
    code = (
        "import sys; from taut.cli import main; main(['--help']);"
        "assert 'jax' not in sys.modules, 'help imported JAX'"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert all(name in said.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["trian"], 2, "Did you mean train"),
        (["train", "tinny"], 2, "Nearest: tiny"),
        (["train"], 2, "say which experiment"),
        (["evaluate", "nowhere"], 2, "is not a run"),
        (["experiments", "energy"], 2, "Nearest: energy-inspired"),
        (["reproduce", "energy-inspired", "table9"], 2, "Nearest: table1"),
        (["data", "verify", "mnst"], 2, "Nearest: mnist"),
        (["train", "tiny", "--mesh", "rows"], 2, "data=4"),
        (["report"], 2, "say which runs"),
        (["sweep"], 2, "say which experiments"),
        (["sample", "nowhere", "--num", "0"], 1, "num must be"),
        (["evaluate", "nowhere", "--images", "0"], 2, "--images must be at least 1"),
        (["evaluate", "nowhere", "--tolerance", "0"], 2, "--tolerance must be above 0"),
    ],
)
def test_misuse_is_answered_plainly(experiment, capsys, argv, code, words):
    assert main(argv) == code
    assert words in capsys.readouterr().err


def test_experiments_for_machines(experiment, capsys):
    assert main(["experiments", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"] == "tiny"
    assert row["published"]["value"] == -2.0
    assert row["budgets"] == {"quick": 40}


@pytest.mark.xdist_group("cli")
def test_train_evaluate_sample_report(experiment, capsys, monkeypatch, float32):
    argv = ["train", "tiny", "--out", "run", "--prior.size", "1", "--quiet"]
    assert main(argv) == 0
    config = json.loads((experiment / "run/config.json").read_text())
    assert config["settings"]["prior"] == {"size": 1}
    assert main(argv) == 1  # the folder is taken
    assert "already holds a run" in capsys.readouterr().err
    assert main([*argv, "--resume", "--rate", "0.5"]) == 1
    assert "rate" in capsys.readouterr().err

    assert main(["evaluate", "run", "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    kept = json.loads((experiment / "run/summary.json").read_text())
    assert kept["evaluation"] == told
    assert told["lower"]["examples"] == 10
    values = np.load(experiment / "run/evaluation-iwae.npz")["value"]
    assert told["lower"]["mean"] == pytest.approx(values.mean(), rel=1e-6)
    assert told["simulated"]["gap"]["mean"] > -1.0
    assert told["simulated"]["lower"]["examples"] == 4
    asked = ["--sandwich", "--tolerance", "50", "--json", "--quiet"]
    assert main(["evaluate", "run", *asked]) == 0
    both = json.loads(capsys.readouterr().out)["simulated"]
    assert both["lower"]["examples"] == 100
    assert both["enough"]

    assert main(["sample", "run", "--num", "5", "--quiet"]) == 0
    assert np.load(experiment / "run/samples.npz")["samples"].shape == (5, 1, 3)
    lost = np.full((5, 1, 3), np.nan, np.float32)
    with monkeypatch.context() as patch:
        patch.setattr("taut.cli.sample.draws", lambda *_: iter([lost]))
        assert main(["sample", "run", "--num", "5", "--quiet"]) == 1
    assert "5 of 5 draws are not finite" in capsys.readouterr().err
    assert main(["report", "run", "--out", "page.html", "--quiet"]) == 0
    page = (experiment / "page.html").read_text()
    assert f"{told['lower']['mean']:.2f}" in page
    assert page.count("<svg") >= 2


@pytest.mark.xdist_group("cli")
def test_reproduce_writes_what_it_ran(experiment, float32):
    argv = ["reproduce", "energy-inspired", "tiny", "--seeds", "2", "--quiet"]
    assert main(argv) == 0
    (row,) = json.loads((experiment / "docs/results/energy-inspired.json").read_text())
    assert row["seeds"] == 2
    assert row["lower"] == pytest.approx(np.mean(row["lower_by_seed"]))
    assert row["lower_by_seed"][0] != row["lower_by_seed"][1]
    table = (experiment / "docs/results/energy-inspired.md").read_text()
    assert f"{row['lower']:.2f}" in table
    assert row["command"] in table
    assert "annealing" not in table


@pytest.mark.xdist_group("cli")
def test_what_is_published_by_annealing_is_evaluated_by_it(
    experiment, float32, monkeypatch
):
    (preset,) = tiny.presets().values()
    settings = tiny.Chained(**vars(preset.budgets["quick"]), temperatures=3)
    chained = dataclasses.replace(preset, budgets={"quick": settings})
    for module in ("options", "reproduce"):
        monkeypatch.setattr(f"taut.cli.{module}.presets", lambda: {"tiny": chained})
    assert main(["reproduce", "energy-inspired", "tiny", "--quiet"]) == 0
    (row,) = json.loads((experiment / "docs/results/energy-inspired.json").read_text())
    annealed = row["annealed"]
    assert annealed["temperatures"] == 3
    values = np.load(experiment / "runs/tiny-quick-0/evaluation-ais.npz")["value"]
    assert annealed["lower"] == pytest.approx(values.mean(), rel=1e-6)
    table = (experiment / "docs/results/energy-inspired.md").read_text()
    assert "lower (annealing)" in table
    assert f"{annealed['lower']:.2f} ± {annealed['se']:.2f}" in table


@pytest.mark.xdist_group("cli")
def test_sweep_runs_its_jobs(experiment, float32):
    pytest.importorskip("submitit")
    argv = ["sweep", "tiny", "--cluster", "debug", "--wait", "--seeds", "1"]
    assert main(argv) == 0
    summary = json.loads((experiment / "runs/tiny-quick-0/summary.json").read_text())
    assert summary["step"] == 40
    assert "evaluation" in summary


@pytest.mark.xdist_group("cli")
def test_a_grid_is_chosen_by_validation(experiment, capsys, float32, monkeypatch):
    (preset,) = tiny.presets().values()
    points = lambda settings: [
        dataclasses.replace(settings, rate=rate) for rate in (1e-5, 3e-2)
    ]
    with_grid = dataclasses.replace(preset, grid=points)
    for module in ("options", "experiments", "reproduce"):
        monkeypatch.setattr(
            f"taut.cli.{module}.presets", lambda: {with_grid.name: with_grid}
        )
    argv = ["reproduce", "energy-inspired", "tiny", "--quiet", "--results", "out"]
    assert main([*argv, "--grid"]) == 0
    (row,) = json.loads((experiment / "out" / "energy-inspired.json").read_text())
    assert row["budget"] == "quick, grid"
    assert row["command"].endswith("--grid")
    scores = {
        folder.name: json.loads((folder / "summary.json").read_text())
        for folder in (experiment / "runs").iterdir()
    }
    assert sorted(scores) == ["tiny-quick-0-grid00", "tiny-quick-0-grid01"]
    assert all(isinstance(said["grid_score"], float) for said in scores.values())
    best = max(scores, key=lambda name: scores[name]["grid_score"])
    assert best.endswith("grid01")  # the other rate hardly moves
    assert [name for name in scores if "evaluation" in scores[name]] == [best]
    monkeypatch.setattr("taut.cli.train.train_into", None)  # nothing is trained again
    assert main([*argv, "--grid"]) == 0


def test_a_row_without_a_grid_says_so(experiment, capsys):
    assert main(["reproduce", "energy-inspired", "tiny", "--grid"]) == 2
    assert "has no grid" in capsys.readouterr().err


@pytest.mark.xdist_group("cli")
def test_evidence_of_a_trained_run(experiment, capsys, float32):
    """One test example of a run, both ends, with data simulated to calibrate it."""
    assert main(["train", "tiny", "--out", "run", "--quiet"]) == 0
    capsys.readouterr()
    argv = ["evidence", "run:3", "--budget", "3", "--json", "--float32"]
    assert main([*argv, "--quiet"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["verdict"]["word"] == "asymptotic"
    assert record["calibration"]["simulations"] == 32
    assert -10 < record["lower"]["value"] < record["upper"]["bound"] < 0
    assert main(["evidence", "run:99"]) == 2
    assert "14 test examples" in capsys.readouterr().err
    assert main(["evidence", "run"]) == 2
    assert "RUN:INDEX" in capsys.readouterr().err
