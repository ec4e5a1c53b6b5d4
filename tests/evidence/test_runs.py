"""Weights that are no numbers: counted, and never an upper end below the truth."""

import jax.numpy as jnp
import jax.random as jr

import taut
from taut.evidence.runs import run_conditional_many, run_many

GUIDE = taut.StandardNormal((1,))
POINTS = jnp.array([[0.2], [1.4], [2.5]])


def ends(bad):
    """Both, of a target that is `bad` above one."""
    target = taut.Tilted(GUIDE, lambda z: jnp.where(z[0] > 1, bad, 0.0))
    sampler, keys = taut.Importance(GUIDE, 8), jr.split(jr.key(0), 3)
    low = run_many(keys, sampler, target)
    return low, run_conditional_many(keys, sampler, target, POINTS)


def test_nan():
    low, high = ends(jnp.nan)
    assert jnp.isfinite(low.log_z).all()
    assert low.invalid.sum() > 0
    # NaN at the given point: no upper end. Elsewhere: zero weight.
    assert (jnp.isfinite(high.log_z) == jnp.array([True, False, False])).all()
    assert (high.log_z[1:] == jnp.inf).all()
    assert (high.invalid >= jnp.array([0, 1, 1])).all()


def test_infinite_weights():
    low, high = ends(-jnp.inf)
    assert (low.log_z < jnp.inf).all()
    assert low.infinite.sum() > 0
    assert (high.log_z[1:] == jnp.inf).all()
