import jax
import pytest


@pytest.fixture(autouse=True)
def _strict():
    """Shapes meet on purpose or not at all."""
    with jax.numpy_rank_promotion("raise"):
        yield
