import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from test_resume import LIMIT, finish, start, wait_for_step

from taut.distributed import initialize, make_mesh
from taut.rundir import Run

HERE = Path(__file__).parent


def test_eight_virtual_devices_give_the_same_numbers(tmp_path):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run(
        [sys.executable, HERE / "virtual.py", tmp_path],
        env=os.environ | flags,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == found["replicas"] == 8
    assert found["moved"] > 0.05
    for name in ("difference", "longer", "seeds", "particles"):
        assert found[name] < 1e-5, found
    # A device has 4 of 16 examples and 7 of 14 particles: 28 rows of 33 hidden units.
    rows = [math.prod(map(int, shape.split(","))) / 33 for shape in found["shapes"]]
    assert max(rows) == 28
    assert "4 devices" in found["refused"]


def by_jax(rank, count, port):
    """What a process is told of its job by hand,"""
    return {
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(count),
        "JAX_PROCESS_ID": str(rank),
    }


# The launchers' variables name a job, from which JAX derives a port.
EPHEMERAL = 65536 - 4096


def by_slurm(rank, count, port):
    """by `srun`,"""
    return {
        "SLURM_JOB_ID": str(port - EPHEMERAL),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": str(count),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
    }


def by_open_mpi(rank, count, port):
    """by Open MPI's `mpirun`,"""
    return {
        "OMPI_MCA_orte_hnp_uri": f"{(port - EPHEMERAL) * 4096}.0;tcp://127.0.0.1:1",
        "OMPI_COMM_WORLD_SIZE": str(count),
        "OMPI_COMM_WORLD_RANK": str(rank),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(rank),
    }


def by_new_open_mpi(rank, count, port):
    """by its version 5,"""
    told = by_open_mpi(rank, count, port)
    return {name: told[name] for name in told if "uri" not in name}


def by_mpich(rank, count, port):
    """and by MPICH's or Intel's."""
    return {"PMI_SIZE": str(count), "PMI_RANK": str(rank)}


def free_port(first=0):
    with socket.socket() as found:
        try:
            found.bind(("127.0.0.1", first))
        except OSError:
            return free_port(first + 1)
        return found.getsockname()[1]


def pair(folder, *arguments, join=by_jax):
    port = free_port(EPHEMERAL)
    return [start(folder, *arguments, **join(rank, 2, port)) for rank in range(2)]


@pytest.mark.thorough
@pytest.mark.parametrize("join", [by_jax, by_slurm, by_open_mpi])
def test_two_processes_give_the_same_numbers(tmp_path, join):
    first, second = (finish(p) for p in pair(tmp_path / "two", 60, 25, join=join))
    alone = finish(start(tmp_path / "one", 60, 25))
    assert (first["devices"], alone["devices"]) == (2, 1)
    assert first["digest"] == second["digest"]
    assert first["norm"] == pytest.approx(alone["norm"], rel=1e-6)
    assert first["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    rows = [row["step"] for row in Run.open(tmp_path / "two").metrics()]
    assert rows == [20, 40, 60]


@pytest.mark.thorough
def test_a_killed_peer_ends_the_job_and_it_can_be_resumed(tmp_path):
    first, second = pair(tmp_path / "two", 100_000, 20, "heartbeat=20")
    wait_for_step(first, tmp_path / "two", 20)
    second.send_signal(signal.SIGKILL)
    _, err = first.communicate(timeout=LIMIT)
    second.communicate()
    assert first.returncode not in (0, None)
    print(err[:5000])
    assert "lost contact with another process" in err
    assert "the last checkpoint is of step" in err
    saved = Run.open(tmp_path / "two").checkpoints.steps()[-1]
    resumed = [finish(p) for p in pair(tmp_path / "two", saved + 40, 1000)]
    assert resumed[0]["step"] == saved + 40


@pytest.mark.thorough
def test_ctrl_c_to_one_process_stops_both_at_the_same_step(tmp_path):
    both = pair(tmp_path / "two", 100_000, 20)
    wait_for_step(both[0], tmp_path / "two", 20)
    both[1].send_signal(signal.SIGINT)
    said = [json.loads(p.communicate(timeout=LIMIT)[0].splitlines()[-1]) for p in both]
    assert said[0]["interrupted"] == said[1]["interrupted"]
    assert [p.returncode for p in both] == [130, 130]


@pytest.fixture
def asked(monkeypatch):
    """How JAX was asked to start; nothing of a launcher in the environment."""
    for name in list(os.environ):
        if name.startswith(("JAX_", "SLURM_", "OMPI_", "PMI_")):
            monkeypatch.delenv(name)
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **how: calls.append(how))
    return calls


def test_one_process_needs_no_initialising(asked, monkeypatch):
    assert initialize() is False
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    with pytest.raises(ValueError, match="JAX_PROCESS_ID"):
        initialize()
    assert asked == []


@pytest.mark.parametrize(
    ("join", "how"),
    [
        (by_slurm, "slurm"),
        (by_open_mpi, "ompi"),
        (by_new_open_mpi, "mpi4py"),
        (by_mpich, "mpi4py"),
    ],
)
def test_processes_are_found_from_their_launcher(asked, monkeypatch, join, how):
    monkeypatch.setattr("taut.distributed.find_spec", lambda name: name)
    for name, value in join(0, 1, EPHEMERAL).items():
        monkeypatch.setenv(name, value)
    assert initialize() is False
    for name, value in join(1, 2, EPHEMERAL).items():
        monkeypatch.setenv(name, value)
    assert initialize(heartbeat_timeout=7) is True
    (call,) = asked
    assert call["cluster_detection_method"] == how
    assert call["heartbeat_timeout_seconds"] == 7


def test_launchers_that_mislead(asked, monkeypatch):
    """A batch script of four tasks that does not use `srun` is one process; the ranks
    of `mpirun` see the variables of Slurm's one step with its daemons.
    """
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert initialize() is False
    monkeypatch.setenv("SLURM_STEP_NODELIST", "localhost")
    for name, value in by_open_mpi(1, 2, EPHEMERAL).items():
        monkeypatch.setenv(name, value)
    assert initialize() is True
    assert asked[0]["cluster_detection_method"] == "ompi"
    monkeypatch.delenv("OMPI_MCA_orte_hnp_uri")
    monkeypatch.setattr("taut.distributed.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install mpi4py"):
        initialize()


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"data": 3, "particles": 5}, "takes 15 devices"),
        ({"model": 1}, "got model"),
        ({"data": 0}, "at least 1"),
        ({}, "at least 1"),
    ],
)
def test_meshes_that_cannot_be(sizes, words):
    with pytest.raises(ValueError, match=words):
        make_mesh(**sizes)
