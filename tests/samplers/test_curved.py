"""Moves by local curvature: the law they keep, and the necks that they leave."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from jaxtyping import Array
from scipy import stats

import taut
from taut.core.kernel import Path

SPREAD = 1.5  # of v


class Funnel(taut.AbstractTarget[Array]):
    """v ~ N(0, 1.5), two x ~ N(0, exp(v)): curvature differs from place to place."""

    exact: ClassVar[bool] = True

    def log_prob(self, key, z):
        v, x = z[0], z[1:]
        square = (v / SPREAD) ** 2 + jnp.sum((x * jnp.exp(-v)) ** 2)
        return -0.5 * square - 2 * v


def draws(key, num):
    vkey, xkey = jr.split(key)
    v = SPREAD * jr.normal(vkey, (num, 1))
    return jnp.concatenate([v, jnp.exp(v) * jr.normal(xkey, (num, 2))], axis=1)


@eqx.filter_jit
def walked(key, kernel, starts, moves):
    """After so many moves at the target."""
    guide = taut.StandardNormal((3,))
    path = Path(guide, Funnel(), jr.key(0), jnp.ones(1))

    def one(key, z):
        move = lambda state, key: (kernel.forward(key, path, 0, state)[0], None)
        state, _ = jax.lax.scan(move, kernel.init(path, z), jr.split(key, moves))
        return state.position

    return jax.vmap(one)(jr.split(key, len(starts)), starts)


def test_a_funnel_stays_a_funnel(getkey):
    """Exact draws are exact draws afterwards: v, and x in units of its own width."""
    z = walked(getkey(), taut.Curved(0.8), draws(getkey(), 4000), 20)
    assert stats.kstest(z[:, 0] / SPREAD, "norm").pvalue > 1e-3
    assert stats.kstest(z[:, 1] * jnp.exp(-z[:, 0]), "norm").pvalue > 1e-3


@pytest.mark.parametrize(("kernel", "leaves"), [("curved", True), ("hmc", False)])
def test_a_neck_is_left(kernel, leaves, getkey):
    """From v = -6 (four standard deviations): HMC of a step that suits the bulk, and
    of one that suits the neck, stay there.
    """
    v = jnp.full((200, 1), -6.0)
    starts = jnp.concatenate([v, jnp.exp(v) * jr.normal(getkey(), (200, 2))], axis=1)
    kernels = {
        "curved": [taut.Curved(0.8)],
        "hmc": [taut.HMC(0.3, 4), taut.HMC(0.001, 4)],
    }
    for each in kernels[kernel]:
        v = walked(getkey(), each, starts, 100)[:, 0]
        assert (jnp.mean(v > -3.0) > 0.5) == leaves, jnp.mean(v > -3.0)


@pytest.mark.parametrize("floor", [0.0, -1.0, float("nan")])
def test_a_floor_that_is_not_positive_is_refused(floor):
    q = taut.StandardNormal((2,))
    sampler = taut.Annealed(q, taut.Curved(0.5, floor), [1.0])
    with pytest.raises(Exception, match="Curved: `floor`"):
        eqx.filter_jit(sampler.run)(jr.key(0), q)
