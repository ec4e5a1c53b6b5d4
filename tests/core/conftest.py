import jax
import pytest


@pytest.fixture(autouse=True)
def _strict():
    """Shapes and types meet on purpose or not at all."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield
