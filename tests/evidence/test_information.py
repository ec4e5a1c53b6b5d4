"""Mutual information of correlated Gaussians, where everything is known."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut
from taut import information

RHO = 0.9
NUM = 20_000


@pytest.fixture(scope="module")
def task():
    return information.correlated_gaussians(RHO)


def best_critic(joint):
    """Any optimal critic is `log p(y|x)` plus a function of `y`; NWJ needs this one."""

    def critic(x, y):
        key = jr.key(0)
        log_marginal = taut.StandardNormal((1,)).log_prob(key, y)
        return joint.likelihood(x).log_prob(key, y) - log_marginal

    return critic


def posterior(y):
    half = jnp.full_like(y, 0.5 * jnp.log1p(-(RHO**2)))
    return taut.Normal(RHO * y, half)


def near(average, value, *, slack=0.0):
    return abs(average.value - value) < 5 * average.se + slack


def test_true_value(task):
    assert task[1] == pytest.approx(0.83037, abs=1e-5)


@pytest.mark.parametrize(
    ("num", "value"), [(2, 0.337), (4, 0.552), (16, 0.750), (64, 0.81)]
)
def test_info_nce_with_the_best_critic(task, num, value):
    joint, truth = task
    bound = lambda key: information.info_nce(key, joint, best_critic(joint), num)
    found = information.average(jr.key(1), bound, NUM)
    assert near(found, value, slack=0.001), found
    assert found.value < min(truth, np.log(num))


def test_info_nce_is_at_most_log_k(task):
    """Pair by pair, for any critic."""
    joint, _ = task
    steep = lambda x, y: 50 * jnp.sum(x * y)
    bound = lambda key: information.info_nce(key, joint, steep, 4)
    values = jax.vmap(bound)(jr.split(jr.key(1), 2000))
    assert abs(jnp.max(values) - np.log(4)) < 1e-9  # it is reached, up to rounding


def test_nwj_and_barber_agakov_reach_the_truth(task):
    joint, truth = task
    shifted = lambda x, y: 1 + best_critic(joint)(x, y)
    nwj = lambda key: information.nwj(key, joint, shifted, 64)
    assert near(information.average(jr.key(2), nwj, NUM), truth)
    exact = lambda key: information.barber_agakov(key, joint, posterior)
    assert near(information.average(jr.key(3), exact, NUM), truth)


def test_a_poor_reverse_model_stays_below(task):
    joint, truth = task
    wide = lambda y: taut.Normal(0.5 * y, jnp.full_like(y, 0.2))
    found = information.average(
        jr.key(4), lambda key: information.barber_agakov(key, joint, wide), NUM
    )
    assert found.value + 5 * found.se < truth


def test_donsker_varadhan_exceeds_the_truth(task):
    """With a good critic and one fresh draw it is far above: not a bound."""
    joint, truth = task
    bound = lambda key: information.donsker_varadhan(key, joint, best_critic(joint), 1)
    found = information.average(jr.key(5), bound, NUM)
    assert found.value - 5 * found.se > truth + 1.0
    assert "not a bound" in information.donsker_varadhan.__doc__


def test_leave_one_out_stays_above(task):
    joint, truth = task
    bound = lambda key: information.leave_one_out(key, joint, 16)
    found = information.average(jr.key(6), bound, NUM)
    assert found.value - 5 * found.se > truth
    assert found.value < truth + 0.3


def test_sandwich_by_importance(task):
    joint, truth = task
    guide = lambda y: taut.Normal(0.9 * y, jnp.full_like(y, -0.6))
    found = information.sandwich(
        jr.key(7), joint, lambda y: taut.Importance(guide(y), 64), NUM
    )
    assert found.lower.value < truth + 5 * found.lower.se
    assert found.upper.value > truth - 5 * found.upper.se
    assert 0 < found.gap + 5 * np.hypot(found.lower.se, found.upper.se) < 0.1


def test_sandwich_by_annealing_in_twenty_dimensions():
    """Far beyond what InfoNCE can say: I = 16.6 nats, and log K of 16 is 2.8."""
    joint, truth = information.correlated_gaussians(RHO, 20)
    kernel = taut.HMC(0.3, leapfrogs=3)
    prior = joint.prior
    betas = np.linspace(0, 1, 33)[1:] ** 3
    sampler = lambda y: taut.Annealed(prior, kernel, betas, 4)
    found = information.sandwich(jr.key(8), joint, sampler, 500)
    assert found.lower.value - 5 * found.lower.se < truth
    assert found.upper.value + 5 * found.upper.se > truth
    assert found.gap < 3.0


def test_an_estimated_likelihood_is_refused_from_below(task):
    joint = task[0]
    noisy = lambda x: taut.Averaged(
        taut.SelfNormalized(joint.likelihood(x), lambda y: 0.1 * jnp.sum(y**2), 4), 2
    )
    pair = taut.Joint(joint.prior, noisy)
    sampler = lambda y: taut.Importance(joint.prior, 4)
    with pytest.raises(TypeError, match="likelihood has to be exact"):
        information.marginal_lower(jr.key(9), pair, sampler)


def test_bad_arguments(task):
    with pytest.raises(ValueError, match="between -1 and 1"):
        information.correlated_gaussians(1.5)
    with pytest.raises(ValueError, match="one real number"):
        information.nwj(jr.key(0), task[0], lambda x, y: x)
