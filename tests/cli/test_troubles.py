"""What goes wrong at the prompt: a plain sentence, a code, and no number of it kept."""

import dataclasses
import json
import shutil
import sys
from functools import partial

import jax.random as jr
import pytest

from taut.cli import evaluate, main, running
from taut.cli.exits import guarded
from taut.cli.report import page_of
from taut.cli.running import Plan
from taut.cli.train import trained_there
from taut.rundir import Run

from . import tiny


@pytest.fixture
def folder(monkeypatch, tmp_path):
    for module in ("options", "experiments", "reproduce"):
        monkeypatch.setattr(f"taut.cli.{module}.presets", tiny.presets)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(**changes):
    (preset,) = tiny.presets().values()
    settings = dataclasses.replace(preset.budgets["quick"], **changes)
    return Plan(preset, "quick", 0, settings)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (MemoryError("One step needs more; see `chunk`"), "`chunk`"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), "`taut evaluate --chunk`"),
        (FloatingPointError("Training stopped"), "Training stopped"),
    ],
)
def test_no_traceback(capsys, problem, words):
    def command():
        raise problem

    assert guarded(command) == 1
    assert words in capsys.readouterr().err


@pytest.mark.xdist_group("cli")
def test_a_loss_of_nan(folder, capsys, float32):
    assert main(["train", "tiny", "--rate", "1e38", "--out", "run", "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "Training stopped at step 1" in said
    assert "the first parameter group" in said
    # Nothing was trained, so nothing is evaluated or drawn.
    assert main(["evaluate", "run", "--quiet"]) == 2
    assert main(["sample", "run", "--quiet"]) == 2
    assert capsys.readouterr().err.count("has no checkpoint") == 2


@pytest.mark.xdist_group("cli")
def test_a_resumed_run_remembers_its_validations(folder, capsys, float32):
    argv = ["train", "tiny", "--out", "run", "--quiet", "--json"]
    assert main(argv) == 0
    whole = json.loads(capsys.readouterr().out)
    assert [step for step, _ in whole["validation"]] == [20, 40]
    # As after a kill between steps 20 and 40.
    (folder / "run" / "summary.json").unlink()
    for path in (folder / "run" / "checkpoints").iterdir():
        if int(path.name) > 20:
            shutil.rmtree(path)
    assert main([*argv, "--resume"]) == 0
    resumed = json.loads(capsys.readouterr().out)
    before = sum(
        4 / row["rate"] for row in Run.open("run").metrics() if row["step"] <= 20
    )
    assert resumed.pop("seconds") > before
    whole.pop("seconds")
    assert resumed == whole


def test_stopped_before_the_first_step(folder, capsys, monkeypatch):
    def stopped(*given, **hooks):
        raise KeyboardInterrupt

    monkeypatch.setattr("taut.cli.train.train", stopped)
    argv = ["train", "tiny", "--rate", "0.5", "--out", "my run"]
    assert main(argv) == 130
    assert "--rate 0.5 --out 'my run' --resume" in capsys.readouterr().err


def test_an_extra_that_is_not_installed(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert main(["train", "tiny", "--tensorboard", "--out", "run"]) == 2
    assert "taut[tensorboard]" in capsys.readouterr().err
    assert not (folder / "run").exists()


def test_rows_are_not_taken_from_runs_with_other_settings(folder, capsys):
    made = plan(rate=0.5, simulated=3).config()
    Run.create("runs/tiny-quick-0", made, "tiny").summarise(
        {"step": 40, "evaluation": {"lower": {"mean": 0.0}}}
    )
    assert main(["reproduce", "energy-inspired", "tiny", "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "made with other settings: settings.rate." in said


def test_settings_of_the_evaluation_keep_no_run_from_going_on(folder, monkeypatch):
    class Reached(Exception):
        """Of the training itself."""

    def reached(*given, **hooks):
        raise Reached

    run = Run.create("run", plan(samples=7, simulated=3).config(), "tiny")
    monkeypatch.setattr("taut.cli.train.train", reached)
    with pytest.raises(Reached):
        trained_there(plan(), run.folder, quiet=True)
    assert run.config()["settings"]["samples"] == plan().settings.samples


def test_an_evaluation_in_mid_training_is_made_again(folder, monkeypatch):
    made = []
    monkeypatch.setattr(evaluate, "evaluate", lambda *given: made.append(given))
    run = Run.create("run", plan().config())
    for record, times in (
        ({"step": 40}, 1),
        ({"evaluation": {"step": 20}}, 2),
        ({"evaluation": {"step": 40}}, 2),
        ({"evaluation": {}}, 2),  # older than this mention
    ):
        run.summarise(record)
        evaluate.evaluated_there(run.folder, quiet=True)
        assert len(made) == times


def test_no_evaluation_uses_a_key_that_trained_its_model(folder, monkeypatch):
    """Training splits the seed's key; `split(key)[i]` may be `fold_in(key, i)`."""
    used = set()
    for purpose in ("EVALUATION", "SETTLING", "SAMPLES", "CHOICE"):
        key = running.stream(0, getattr(running, purpose))
        keys = [key, *jr.split(key, 3), *map(partial(jr.fold_in, key), range(3))]
        used |= {tuple(jr.key_data(k).tolist()) for k in keys}
    training = []
    monkeypatch.setattr(running, "fit", lambda key, *given, **_: training.append(key))
    monkeypatch.setattr(tiny.Tiny, "make", lambda self, key, _: training.append(key))
    running.train(plan(), plan().settings.data(), Run("none"))
    assert len(training) == 2
    assert not used & {tuple(jr.key_data(k).tolist()) for k in training}


def test_a_run_of_somebody_elses_script(folder, capsys):
    Run.create("mine", {"width": 3})
    assert main(["evaluate", "mine"]) == 2
    assert "not made by `taut train`" in capsys.readouterr().err


def test_runs_of_one_name_and_runs_of_phases_have_their_curves(folder):
    for name in ("a/run", "b/run"):
        run = Run.create(name, plan().config())
        for step in (1, 2):
            run.report(step, {"theta/bound": -1.0, "phi/loss": 1.0}, 1.0)
    page = page_of([folder / "a/run", folder / "b/run"])
    assert len(page.rows) == 2
    (curves,) = page.figures
    assert curves.svg.count("run, theta") == 2
    assert "a/run" in curves.svg
    assert "b/run" in curves.svg
