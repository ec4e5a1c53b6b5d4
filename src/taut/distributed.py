"""One process or many: who takes part, and the mesh of their devices."""

import math
import os

import jax
from jax.sharding import AxisType, Mesh

# Variables by which launchers tell a process how many there are.
JAX_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
LAUNCHERS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def initialize(heartbeat_timeout: int = 100) -> bool:
    """Join the other processes of the job, if it has any; call before anything else
    that uses JAX. Returns whether it has.

    Processes are found from `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and
    `JAX_PROCESS_ID`, or else from Slurm or MPI. When a peer has been silent for
    `heartbeat_timeout` seconds, every process of the job ends with an error.
    """
    if any(name in os.environ for name in JAX_VARIABLES):
        missing = [name for name in JAX_VARIABLES if name not in os.environ]
        if missing:
            raise ValueError(
                f"A job of several processes needs all of {', '.join(JAX_VARIABLES)}; "
                f"not set: {', '.join(missing)}."
            )
        jax.distributed.initialize(
            os.environ[JAX_VARIABLES[0]],
            int(os.environ[JAX_VARIABLES[1]]),
            int(os.environ[JAX_VARIABLES[2]]),
            heartbeat_timeout_seconds=heartbeat_timeout,
            shutdown_timeout_seconds=heartbeat_timeout,
        )
        return True
    if any(int(os.environ.get(name, "1")) > 1 for name in LAUNCHERS):
        mpich = "PMI_SIZE" in os.environ and "SLURM_NTASKS" not in os.environ
        jax.distributed.initialize(
            cluster_detection_method="mpi4py" if mpich else None,
            heartbeat_timeout_seconds=heartbeat_timeout,
            shutdown_timeout_seconds=heartbeat_timeout,
        )
        return True
    return False


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
