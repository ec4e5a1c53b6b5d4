import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest


@pytest.fixture
def normal():
    """Draws by NumPy: nothing to compile for each new shape."""
    rng = np.random.default_rng(3)
    return lambda *shape: jnp.asarray(rng.normal(size=shape), float)


@pytest.fixture
def filled(normal):
    """A network with values of its own: the start is traced, never compiled or run."""

    def value(leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        return normal(*leaf.shape) / max(leaf.shape, default=1) ** 0.5

    def fill(build, *args, **kwargs):
        start = lambda key: build(*args, key=key, **kwargs)
        network = eqx.filter_eval_shape(start, jr.key(0))
        struct = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)
        return jax.tree.map(value, network, is_leaf=struct)

    return fill
