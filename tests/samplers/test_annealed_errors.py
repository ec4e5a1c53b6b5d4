"""Annealing: what is wrong is said, and NaN is never hidden."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from jaxtyping import Array
from scalar_gaussian import Decoder, start as guide, target as fixture

import taut
from contract import problems as p
from taut import schedules


class Cliff(taut.AbstractTarget[Array]):
    """NaN beyond a cliff."""

    exact: ClassVar[bool] = True

    def log_prob(self, key, x):
        return -0.5 * jnp.sum(x**2) + jnp.sum(jnp.log(jnp.where(x > 1, jnp.nan, 1.0)))


@pytest.mark.parametrize("kernel", [taut.HMC(0.5, 2), taut.Langevin(0.5)])
def test_nan_is_counted_and_has_no_weight(kernel, getkey):
    sampler = taut.Annealed(guide(), kernel, schedules.linear(3), 200)
    particles = eqx.filter_jit(sampler.run)(getkey(), Cliff())
    assert not jnp.any(jnp.isnan(particles.log_weight))
    zero = jnp.isneginf(particles.log_weight)
    assert jnp.any(zero)
    assert not jnp.all(zero)
    assert jnp.all(particles.diagnostics.invalid[zero] > 0)
    assert jnp.isfinite(particles.log_z)


@pytest.mark.parametrize("num", [1, 3])
def test_nan_on_the_way_back_is_no_upper_end_below_the_truth(num, getkey):
    """Steps so long that the chain overflows: a bound that says nothing, not a lie."""
    steep = taut.Tilted(guide(), lambda z: jnp.sum(z**4))
    sampler = taut.Annealed(guide(), taut.Langevin(20.0), schedules.linear(5), num)
    z = jnp.full(guide().shape, 1.5)
    run = eqx.filter_jit(sampler.run_conditional)
    particles = run(getkey(), steep, z, steep.log_prob(getkey(), z))
    assert particles.log_z == jnp.inf


@pytest.mark.parametrize(
    "betas", [[0.5], [0.6, 0.5, 1.0], [], [0.0], [-0.1, 1.0], [0.5, jnp.nan, 1.0], 1.0]
)
def test_wrong_betas(betas):
    with pytest.raises(ValueError, match="do not decrease.*end in exactly 1; got"):
        taut.Annealed(guide(), taut.HMC(0.1), betas)


@pytest.mark.parametrize("betas", [[0.5, 0.9], [0.6, 0.5, 1.0], [-0.1, 1.0]])
def test_wrong_betas_that_come_as_the_program_runs(betas, getkey):
    """Under `jit`, or of a schedule that is a function."""
    key = getkey()

    def run(betas):
        return taut.Annealed(guide(), taut.HMC(0.1), betas).run(key, fixture()).log_z

    for use in (run, lambda betas: run(lambda: betas)):
        assert jnp.isfinite(eqx.filter_jit(use)(jnp.array([0.5, 1.0])))
        with pytest.raises(Exception, match="end in exactly 1; met others"):
            jax.block_until_ready(eqx.filter_jit(use)(jnp.array(betas)))


def test_learned_schedules_take_steps():
    with pytest.raises(ValueError, match="betas that increase.*Leave repeated"):
        schedules.Learned([0.5, 0.5, 1.0])


def test_learned_schedules_never_decrease(float32):
    """Though sums of rounded numbers may pass their end."""
    learned = schedules.Learned(jnp.linspace(0, 1, 1001))
    for seed in range(20):
        logits = 3 * jr.normal(jr.key(seed), (1000,))
        # The last step is smaller than the rounding of the sum.
        betas = eqx.tree_at(lambda s: s.logits, learned, logits.at[-1].set(-30.0))()
        assert jnp.all(jnp.diff(betas) >= 0)
        assert betas[-1] == 1


def test_refusals(getkey):
    key = getkey()
    run = lambda proposal, kernel=taut.HMC(0.1): taut.Annealed(  # noqa: B008
        proposal, kernel, schedules.linear(3)
    ).run(key, fixture())
    with pytest.raises(TypeError, match="move continuous events.*Categorical"):
        run(p.finite_proposal())
    with pytest.raises(TypeError, match="move continuous events.*Bernoulli"):
        run(taut.Bernoulli(jnp.zeros(1)))
    with pytest.raises(TypeError, match="proposal whose density is known"):
        run(taut.Induced(fixture(), taut.Importance(guide())))
    with pytest.raises(
        ValueError, match=r"step size of shape \(\), or of shape \(3,\)"
    ):
        run(guide(), taut.HMC(jnp.ones(4)))
    with pytest.raises(ValueError, match="leapfrogs must be an integer of at least 1"):
        taut.HMC(0.1, 0)
    with pytest.raises(ValueError, match="num must be an integer of at least 1"):
        taut.Annealed(guide(), taut.HMC(0.1), [1.0], 0)
    sampler = taut.Annealed(guide(), taut.HMC(0.1), schedules.linear(3))
    with pytest.raises(ValueError, match="events of shape"):
        sampler.run_conditional(key, fixture(), jnp.zeros(2), jnp.zeros(()))


def test_an_estimated_target_has_a_lower_end_only(getkey):
    prior = taut.Normal(jnp.zeros(1), jnp.zeros(1))
    estimated = taut.SelfNormalized(prior, lambda z: 0.3 * jnp.sum(z**2), 3)
    target = taut.Conditioned(
        taut.Joint(estimated, Decoder(jnp.ones(1))), jnp.array([1.5])
    )
    sampler = taut.Annealed(guide(), taut.HMC(0.3), schedules.linear(3), 2)
    keys = jr.split(getkey(), 20_000)
    run = jax.jit(jax.vmap(lambda key: sampler.run(key, target).log_z))
    # One function per chain, unbiased: agrees with plain importance sampling.
    plain = taut.Importance(guide(), 10)
    other = jax.jit(jax.vmap(lambda key: plain.run(key, target).log_z))
    a, b = jnp.exp(run(keys)), jnp.exp(other(keys))
    error = jnp.sqrt((jnp.var(a) + jnp.var(b)) / keys.size)
    assert abs(jnp.mean(a) - jnp.mean(b)) < 5 * error
    with pytest.raises(TypeError, match="exact `log_prob`.*only estimated"):
        sampler.run_conditional(keys[0], target, jnp.zeros(1), jnp.zeros(()))
    frozen = taut.Frozen(target, keys[0])
    jax.eval_shape(lambda: sampler.run(keys[0], frozen))
    with pytest.raises(TypeError, match="Frozen"):
        sampler.run_conditional(keys[0], frozen, jnp.zeros(1), jnp.zeros(()))


def test_only_reversible_kernels_go_back(getkey):
    import blackjax

    kernel = taut.BlackJAX(
        blackjax.ghmc,
        {
            "step_size": jnp.asarray(0.1),
            "momentum_inverse_scale": jnp.ones(1),
            "alpha": 0.5,
            "delta": 0.5,
        },
    )
    sampler = taut.Annealed(guide(), kernel, schedules.linear(2))
    with pytest.raises(TypeError, match="not known to be reversible"):
        sampler.run_conditional(getkey(), fixture(), jnp.zeros(1), jnp.zeros(()))
    assert taut.BlackJAX(blackjax.nuts, {}).reversible
