import gc
import importlib.metadata
import os

# Tests compile a lot and compute little: XLA's backend optimisations cost more here
# than they give. Set before JAX starts; subprocesses inherit it. The second flag alone
# halves the time to compile; XLA stops at names it does not know, so the last two are
# given only to the versions that were tried.
FLAGS = ["--xla_backend_optimization_level=0"]
if importlib.metadata.version("jaxlib").startswith("0.10."):
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
    FLAGS.append("--xla_cpu_parallel_codegen_split_count=1")
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))

import jax  # noqa: E402
import jax.random as jr  # noqa: E402
import pytest  # noqa: E402

# Statistics are checked in float64; what must hold in float32 asks for it by fixture.
jax.config.update("jax_enable_x64", True)  # noqa: FBT003

# Tracing makes many objects that live long; looking for cycles among them costs.
gc.set_threshold(10_000, 10, 10)


@pytest.fixture
def float32():
    """Run one test with JAX's default precision."""
    with jax.enable_x64(False):  # noqa: FBT003
        yield


@pytest.fixture
def getkey():
    """Fresh typed keys, the same in every run of a test."""
    count = iter(range(10**6))
    return lambda: jr.fold_in(jr.key(20261120), next(count))
