"""One process or many: who takes part, and the mesh of their devices."""

import math
import os
from importlib.util import find_spec
from typing import Any

import jax
from jax.sharding import AxisType, Mesh

JAX_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def initialize(heartbeat_timeout: int = 100) -> bool:
    """Join the other processes of the job, if it has any; call before anything else
    that uses JAX. Returns whether it has.

    Processes are found from `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and
    `JAX_PROCESS_ID`, or else from MPI or Slurm. When a peer has been silent for
    `heartbeat_timeout` seconds, every process of the job ends with an error.
    """
    how = _as_told() if any(v in os.environ for v in JAX_VARIABLES) else _as_launched()
    if how is None:
        return False
    jax.distributed.initialize(
        **how,
        heartbeat_timeout_seconds=heartbeat_timeout,
        shutdown_timeout_seconds=heartbeat_timeout,
    )
    return True


def _as_told() -> dict[str, Any]:
    missing = [name for name in JAX_VARIABLES if name not in os.environ]
    if missing:
        raise ValueError(
            f"A job of several processes needs all of {', '.join(JAX_VARIABLES)}; "
            f"not set: {', '.join(missing)}."
        )
    address, count, rank = (os.environ[name] for name in JAX_VARIABLES)
    return {
        "coordinator_address": address,
        "num_processes": int(count),
        "process_id": int(rank),
    }


def _as_launched() -> dict[str, Any] | None:
    """By whose variables JAX shall find the job; `None` for a process on its own."""
    several = lambda variable: int(os.environ.get(variable, "1")) > 1
    # Ranks of `mpirun` may have Slurm's variables, too: those of its own daemons.
    if several("OMPI_COMM_WORLD_SIZE") and "OMPI_MCA_orte_hnp_uri" in os.environ:
        return {"cluster_detection_method": "ompi"}  # Open MPI up to version 4
    if several("OMPI_COMM_WORLD_SIZE"):
        return _by_mpi4py()
    # A batch script that runs without `srun` is one process, whatever it has asked for.
    if several("SLURM_NTASKS") and "SLURM_STEP_NODELIST" in os.environ:
        return {"cluster_detection_method": "slurm"}
    if several("PMI_SIZE"):
        return _by_mpi4py()
    return None


def _by_mpi4py() -> dict[str, Any]:
    if find_spec("mpi4py") is None:
        raise RuntimeError(
            "The processes of this MPI job find each other by mpi4py: pip install "
            f"mpi4py, or set {', '.join(JAX_VARIABLES)}."
        )
    return {"cluster_detection_method": "mpi4py"}


def make_mesh(**sizes: int) -> Mesh:
    """All devices of the job as a mesh with named axes, `make_mesh(data=4,
    particles=2)`; XLA chooses the communication."""
    if not sizes or any(size < 1 for size in sizes.values()):
        raise ValueError(f"Mesh axes need sizes of at least 1, got {sizes}.")
    unknown = set(sizes) - {"data", "particles"}
    if unknown:
        raise ValueError(
            f"Mesh axes are `data` and `particles`, got {', '.join(sorted(unknown))}."
        )
    wanted, there = math.prod(sizes.values()), len(jax.devices())
    if wanted != there:
        raise ValueError(
            f"A mesh of {sizes} takes {wanted} devices, and this job has {there}. "
            "On a CPU, XLA_FLAGS=--xla_force_host_platform_device_count=N gives N."
        )
    kinds = (AxisType.Auto,) * len(sizes)
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), axis_types=kinds)
