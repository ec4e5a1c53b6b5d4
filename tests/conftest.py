import jax
import jax.random as jr
import pytest

# Statistics are checked in float64; what must hold in float32 asks for it by fixture.
jax.config.update("jax_enable_x64", True)


@pytest.fixture
def float32():
    """Run one test with JAX's default precision."""
    with jax.enable_x64(False):
        yield


@pytest.fixture
def getkey():
    """Fresh typed keys, the same in every run of a test."""
    count = iter(range(10**6))
    return lambda: jr.fold_in(jr.key(20261120), next(count))
