"""Kills and interrupts of real processes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taut.rundir import Run

WORKER = Path(__file__).parent / "worker.py"
LIMIT = 900  # seconds until a process is given up: machines may be busy


def start(*arguments, **variables):
    environment = os.environ | {"JAX_ENABLE_X64": "1"} | variables
    return subprocess.Popen(
        [sys.executable, WORKER, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process) -> dict:
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def wait_for_step(process, folder, step):
    """Until training has saved `step` or a later one."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until and process.poll() is None:
        if folder.exists() and any(s >= step for s in Run(folder).checkpoints.steps()):
            return
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()[1]


def kill_and_resume(tmp_path, kills, steps, seed):
    draw = random.Random(seed)
    straight = start(tmp_path / "straight", steps, 1000)
    for i in range(kills):
        process = start(tmp_path / "killed", steps, 7, f"chunk={3 + i}")
        wait_for_step(process, tmp_path / "killed", 1 + draw.randrange(steps // 2))
        time.sleep(draw.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0)
    resumed, straight = finish(start(tmp_path / "killed", steps, 7)), finish(straight)
    assert resumed["digest"] == straight["digest"]
    one, other = (Run.open(tmp_path / name) for name in ("straight", "killed"))
    rows = [
        [(row["step"], row["loss"]) for row in run.metrics()] for run in (one, other)
    ]
    assert rows[0] == rows[1]
    assert [step for step, _ in rows[1]] == list(range(20, steps + 1, 20))
    return resumed


def test_killed_and_resumed_bit_for_bit(tmp_path):
    kill_and_resume(tmp_path, kills=1, steps=300, seed=1)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
def test_killed_often_at_random_moments(tmp_path, seed):
    kill_and_resume(tmp_path, kills=4, steps=600, seed=seed)


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_and_says_so(tmp_path, number):
    process = start(tmp_path / "run", 100_000, 50)
    wait_for_step(process, tmp_path / "run", 50)
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, err
    said = json.loads(out.splitlines()[-1])
    assert f"after step {said['interrupted']}" in said["message"]
    assert str(tmp_path / "run") in said["message"]
    assert Run(tmp_path / "run").checkpoints.steps()[-1] == said["interrupted"]
