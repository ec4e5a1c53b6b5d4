"""Resampling that simply keeps lane 0 is caught, and only that."""

import jax.numpy as jnp
import jax.random as jr
import pytest

import taut
from taut import schedules
from taut.testing import ContractError, check_sampler


class KeepsLaneZero(taut.AbstractResampling):
    """Systematic, with lane 0 put back afterwards."""

    def draw(self, key, log_weight):
        return taut.Systematic().draw(key, log_weight)

    def draw_retained(self, key, log_weight):
        return self.draw(key, log_weight).at[0].set(0)


def check(resampling):
    """Short moves from a guide that is off: lanes keep the weights they had."""
    target = taut.Tilted(taut.StandardNormal((1,)), lambda z: jnp.sum((z - 1.5) ** 2))
    # N(z; 0, 1) exp(-(z - 1.5)^2) is proportional to N(z; 1, 1/3).
    posterior = taut.Normal(jnp.ones(1), jnp.full(1, -0.5 * jnp.log(3.0)))
    log_z = -0.5 * jnp.log(3.0) - 0.75
    guide = taut.Normal(jnp.full(1, 0.3), jnp.full(1, -0.2))
    betas = schedules.linear(5)
    sampler = taut.SMC(guide, taut.RandomWalk(0.1), betas, 4, resampling=resampling)
    return check_sampler(
        sampler, target, key=jr.key(7), posterior=posterior, log_z=log_z
    )


@pytest.mark.thorough
def test_the_true_law_passes():
    check(taut.Systematic())


def test_keeping_lane_zero_is_caught():
    with pytest.raises(ContractError, match="SMC"):
        check(KeepsLaneZero())
