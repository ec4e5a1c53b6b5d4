import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from taut.rundir import Run, RunError
from taut.tensorboard import TensorBoard

CONFIG = {"steps": 10, "model": {"width": 3, "name": "vae"}, "rates": [0.1, 0.2]}


def test_everything_is_written(tmp_path):
    run = Run.create(tmp_path / "run", CONFIG, data_digest="abc")
    run.start(0)
    run.report(5, {"loss": 1.5, "bad": math.nan, "seeds": np.arange(2.0)}, 3.0)
    run.summarise({"lower": jnp.float32(-1.0), "upper": math.inf})
    run.summarise({"rate": 2})
    back = Run.open(tmp_path / "run")
    assert back.config() == CONFIG
    assert back.metrics() == [
        {"step": 5, "rate": 3.0, "loss": 1.5, "bad": None, "seeds": [0.0, 1.0]}
    ]
    assert back.summary() == {"lower": -1.0, "upper": None, "rate": 2}
    found = back.environment()
    assert found["data_digest"] == "abc"
    assert found["versions"]["jax"]
    assert found["device_count"] >= 1
    for name in ("config.json", "summary.json", "environment.json"):
        json.loads((tmp_path / "run" / name).read_text(), parse_constant=pytest.fail)


def test_reports_after_the_checkpoint_are_dropped(tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    for step in (10, 20, 30):
        run.report(step, {"loss": step}, 1.0)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')
    run.start(25)
    assert [row["step"] for row in run.metrics()] == [10, 20]
    run.report(30, {"loss": 3}, 1.0)
    assert [row["step"] for row in run.metrics()] == [10, 20, 30]


def test_other_settings_are_refused_by_name(tmp_path):
    Run.create(tmp_path / "run", CONFIG, data_digest="abc")
    changed = CONFIG | {"model": {"width": 4, "name": "vae"}, "new": 1}
    with pytest.raises(RunError) as error:
        Run.resume(tmp_path / "run", changed, data_digest="abd")
    text = str(error.value)
    assert "model.width: 3 there, 4 now" in text
    assert "new: absent there, 1 now" in text
    assert "data digest: abc there, abd now" in text
    assert "rates" not in text
    longer = Run.resume(tmp_path / "run", CONFIG | {"steps": 20}, data_digest="abc")
    assert longer.config()["steps"] == 20
    assert len(longer.environment()["resumed"]) == 1


def test_folders_that_will_not_do(tmp_path):
    Run.create(tmp_path / "run", CONFIG)
    with pytest.raises(RunError, match="already holds a run"):
        Run.create(tmp_path / "run", CONFIG)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match="not a run"):
        Run.create(tmp_path / "other", CONFIG)
    with pytest.raises(RunError, match="not a run"):
        Run.open(tmp_path / "other")
    with pytest.raises(RunError, match="no such folder"):
        Run.resume(tmp_path / "none", CONFIG)
    with pytest.raises(RunError, match="is a file"):
        Run.create(tmp_path / "other" / "thesis.tex", CONFIG)
    (tmp_path / "empty").mkdir()
    Run.create(tmp_path / "empty", CONFIG)


def test_only_the_first_process_looks_at_the_folder(tmp_path, monkeypatch):
    Run.create(tmp_path / "run", CONFIG)
    monkeypatch.setattr("taut.rundir._first_process", lambda: False)
    assert Run.create(tmp_path / "run", CONFIG).config() == CONFIG


def test_settings_must_be_plain(tmp_path):
    with pytest.raises(TypeError, match="as JSON"):
        Run.create(tmp_path / "run", {"loss": print})


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    board = TensorBoard(tmp_path)
    board.report(1, {"loss": 1.0, "seeds": np.ones(2)}, 2.0)
    board.writer.close()
    (events,) = tmp_path.iterdir()
    content = events.read_bytes()
    assert b"loss" in content
    assert b"seeds/seed1" in content
