"""Baselines in O(K): they agree with K sums of K - 1, zero weights included."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut
from taut.leave_one_out import log_sum_of_others, signal, sum_of_others

NONE = -np.inf
WEIGHTS = [
    [0.3],
    [0.3, -800.0],
    [0.3, -1.2, 2.0, 0.7],
    [0.3, NONE, 2.0, 0.7],
    [NONE, -1.2, NONE, 0.7],
    [NONE, NONE, 0.4],
    [NONE, NONE],
]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_each_is_left_out(weights):
    others = [np.delete(np.array(weights), k) for k in range(len(weights))]
    logs, sums = map(jax.jit, (log_sum_of_others, sum_of_others))
    expected = [np.logaddexp.reduce(o, initial=NONE) for o in others]
    np.testing.assert_allclose(logs(jnp.array(weights)), expected, rtol=1e-12)
    expected = [np.sum(o) for o in others]
    np.testing.assert_allclose(sums(jnp.array(weights)), expected, atol=1e-12)


def test_signals_are_finite():
    baseline = jnp.array([0.5, NONE])
    assert (signal(jnp.array(2.0), baseline) == jnp.array([1.5, 2.0])).all()
    for total in (-jnp.inf, jnp.inf):
        assert (signal(jnp.array(total), baseline) == 0).all()


def gradient(draw, num, energy):
    """Of a bound with a coin that may be impossible."""

    @eqx.filter_value_and_grad
    def bound(q):
        target = taut.Tilted(taut.Bernoulli(jnp.zeros(2)), energy)
        return taut.Importance(q, num, draw=draw).run(jr.key(1), target).log_z

    return bound(taut.Bernoulli(jnp.array([0.3, -0.2])))


@pytest.mark.parametrize("draw", [taut.vimco, taut.reinforce_loo])
def test_memory_is_linear(draw):
    """No square of particles, forwards or backwards."""
    program = jax.make_jaxpr(lambda: gradient(draw, 777, jnp.sum)[1].logits)()
    assert "777" in str(program)
    assert "777,777" not in str(program)


@pytest.mark.parametrize("draw", [taut.vimco, taut.reinforce_loo])
@pytest.mark.parametrize("bad", [jnp.inf, -jnp.inf])
def test_impossible_and_unbounded_draws(draw, bad):
    """A weight of zero, or of infinity, is no NaN in the gradient."""
    energy = lambda x: jnp.where(x[0] > 0, bad, x[1])
    value, slope = jax.jit(lambda: gradient(draw, 8, energy))()
    assert jnp.isfinite(value) == (bad > 0)
    assert jnp.isfinite(slope.logits).all()
