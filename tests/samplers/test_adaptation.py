"""Schedules and step sizes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut
import taut.samplers.adaptation
from contract import problems as p
from taut import schedules


def test_schedules():
    assert np.allclose(schedules.linear(4), [0.25, 0.5, 0.75, 1])
    assert np.allclose(schedules.geometric(3, 0.01), [0.01, 0.1, 1])
    assert np.array_equal(schedules.constant(2), [1, 1])
    curve = schedules.sigmoid(8)
    assert np.allclose(curve[:-1] + curve[-2::-1], 1)  # symmetric
    assert np.argmax(np.diff(curve)) in (2, 3, 4)
    for make in (schedules.linear, schedules.sigmoid, schedules.geometric):
        for num in (1, 2, 9):
            betas = make(num)
            assert betas.shape == (num,)
            assert betas[-1] == 1
            assert np.all(np.diff(betas, prepend=0) > 0)
    learned = schedules.Learned(curve)
    assert jnp.allclose(learned(), curve)
    assert learned()[-1] == 1


def test_the_published_rule():
    """Times 1.002 at an acceptance of 0.6 or more, else 0.998, within [0.001, 0.3]."""
    steps = jnp.array([0.1, 0.1, 0.3, 0.001])
    acceptance = jnp.array([[0.5, 0.7, 1.0, 0.0], [0.6, 0.5, 1.0, 0.0]])
    found = taut.adapt(steps, acceptance)
    assert jnp.allclose(found, jnp.array([0.0998, 0.1002, 0.3, 0.001]))
    # A single step size looks at all; a move that is off keeps its own.
    assert jnp.allclose(taut.adapt(jnp.asarray(0.1), acceptance), 0.0998)
    found = taut.adapt(steps, acceptance[:, :3])
    assert jnp.allclose(found, jnp.array([0.0998, 0.1002, 0.3, 0.001]))


@pytest.mark.parametrize("start", [0.02, 5.0])
def test_warm_up_finds_the_goal_and_keeps_the_bound(start, getkey):
    target = p.gaussian_target()
    wild = taut.Annealed(p.gaussian_guide(), taut.HMC(start), schedules.linear(3), 30)
    sampler = eqx.filter_jit(lambda key: taut.warm_up(key, wild, target, 40))(getkey())
    assert sampler.kernel.step_size.shape == (3,)
    run = eqx.filter_jit(jax.vmap(lambda key: sampler.run(key, target)))
    particles = run(jr.split(getkey(), 200))
    accepted = jnp.mean(particles.diagnostics.acceptance, (0, 1))
    assert jnp.all(jnp.abs(accepted - 0.65) < 0.1), accepted
    ratio = jnp.exp(particles.log_weight - p.gaussian_log_z()).ravel()
    assert abs(jnp.mean(ratio) - 1) < 5 * jnp.std(ratio) / jnp.sqrt(ratio.size)


def test_a_kernel_without_step_size():
    import blackjax

    kernel = taut.BlackJAX(blackjax.mala, {"step_size": jnp.asarray(0.1)})
    sampler = taut.Annealed(p.gaussian_guide(), kernel, schedules.linear(3))
    with pytest.raises(TypeError, match="Expected a kernel with a `step_size`"):
        taut.warm_up(jr.key(0), sampler, p.gaussian_target())


def test_steadiest_takes_the_share_whose_weights_vary_least():
    def log_weights(key, steps):
        apart = jnp.where(steps[0] > 0.15, jnp.nan, jnp.abs(steps[0] - 0.05))
        return (1 + 100 * apart) * jr.normal(key, (50, 8))

    shares = (1.0, 0.5, 0.25, 0.1)
    found = taut.samplers.adaptation.steadiest(
        jr.key(0), log_weights, jnp.array([0.2, 0.4]), shares
    )
    assert jnp.allclose(found, 0.25 * jnp.array([0.2, 0.4]))


def test_steadied_steps_do_not_come_back_to_where_they_began():
    """On a normal, five leapfrogs of a fifth of the period each lead nowhere."""
    target = taut.StandardNormal((2,))
    start = taut.Normal(jnp.ones(2), jnp.zeros(2))
    size = 2 * np.sin(np.pi / 5)  # the leapfrog's own angle is 2 pi / 5
    round_and_round = taut.Annealed(start, taut.HMC(size), schedules.linear(20), 1)

    def spread(sampler):
        run = eqx.filter_jit(jax.vmap(lambda key: sampler.run(key, target).log_z))
        return jnp.var(run(jr.split(jr.key(1), 500)))

    steady = eqx.filter_jit(taut.samplers.adaptation.steadied)
    found = steady(jr.key(0), round_and_round, target)
    assert spread(found) < 0.5 * spread(round_and_round)
