"""Annealed importance sampling: reductions and known truths."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import pytest
from jax.scipy.stats import norm
from scalar_gaussian import LOG_Z, posterior, start as guide, target as fixture

import taut
from contract import problems as p
from taut import schedules


class Perfect(taut.AbstractKernel):
    """Independent draws from every density of the fixture's path, all Gaussian."""

    reparameterised: ClassVar[bool] = False

    def init(self, path, position):
        return path.value(position)

    def forward(self, key, path, t, state):
        b = path.betas[t]
        # q = N(0.5, 1) and the target is proportional to N(1, 1/3).
        precision = (1 - b) + 3 * b
        mean = ((1 - b) * 0.5 + 3 * b) / precision
        z = mean + jr.normal(key, (1,)) / jnp.sqrt(precision)
        return path.value(z), jnp.zeros(())

    def backward(self, key, path, t, state):
        return self.forward(key, path, t, state)


def weights(sampler, keys):
    return jax.jit(jax.vmap(lambda key: sampler.run(key, fixture()).log_z))(keys)


def back_weights(sampler, keys):
    def one(key):
        zkey, rkey = jr.split(key)
        z = posterior().sample(zkey)
        log_target = fixture().log_prob(zkey, z)
        return sampler.run_conditional(rkey, fixture(), z, log_target).log_z

    return jax.jit(jax.vmap(one))(keys)


def assert_mean(values, truth):
    error = jnp.std(values) / jnp.sqrt(values.size)
    assert abs(jnp.mean(values) - truth) < 5 * error + 1e-5, (jnp.mean(values), truth)


@pytest.mark.parametrize(
    ("num", "forward", "reverse"),
    [
        (1, -2.69736, -1.53070),
        (2, -2.23643, -1.65309),
        (5, -2.00117, -1.76784),
        (10, -1.93327, -1.81660),
    ],
)
def test_perfect_kernels_and_a_linear_schedule(num, forward, reverse, getkey):
    """The sheet's table; the gap is `(KL(q||p) + KL(p||q)) / T`."""
    sampler = taut.Annealed(guide(), Perfect(), schedules.linear(num), last_move=False)
    keys = jr.split(getkey(), 40_000)
    below, above = weights(sampler, keys), back_weights(sampler, keys)
    assert_mean(below, forward)
    assert_mean(above, reverse)
    divergences = 0.5 * (0.5**2 * (1 + 3) + 3 + 1 / 3 - 2)
    assert_mean(above - below, divergences / num)


def test_one_temperature_without_a_move_is_importance_sampling(getkey):
    key = getkey()
    annealed = taut.Annealed(guide(), taut.HMC(0.3), [0.0, 1.0], 5, last_move=False)
    importance = taut.Importance(guide(), 5)
    run = lambda sampler: jax.jit(lambda: sampler.run(key, fixture()))()
    a, b = run(annealed), run(importance)
    for name in ("value", "log_target", "log_weight", "log_likelihood"):
        same = jnp.allclose(getattr(a, name), getattr(b, name), rtol=1e-14, atol=1e-14)
        assert same, name
    z = jnp.array([0.8])
    log_target = fixture().log_prob(key, z)
    back = eqx.filter_jit(annealed.run_conditional)
    a = back(key, fixture(), z, log_target)
    assert jnp.allclose(a.log_weight[0], a.log_target[0] - guide().log_density(z))


def test_metropolis_at_the_target_keeps_the_first_weight(getkey):
    """Schedule 0, 1, .., 1: the moves change no weight."""
    key = getkey()
    sampler = taut.Annealed(guide(), taut.HMC(0.3), [0.0, 1.0, 1.0, 1.0], 4)
    a = eqx.filter_jit(sampler.run)(key, fixture())
    b = eqx.filter_jit(taut.Importance(guide(), 4).run)(key, fixture())
    assert jnp.allclose(a.log_weight, b.log_weight, rtol=1e-12)
    assert not jnp.any(a.value == b.value)
    assert a.diagnostics.acceptance.shape == (4, 3)


def test_a_perfect_guide_has_constant_weights(getkey):
    """The printed algorithm would give 1.1 log p(x) here."""
    sampler = taut.Annealed(posterior(), taut.HMC(0.3), [0.0, 0.5, 0.6, 1.0], 3)
    particles = eqx.filter_jit(sampler.run)(getkey(), fixture())
    assert jnp.allclose(particles.log_weight, LOG_Z, atol=1e-5)
    assert jnp.allclose(particles.diagnostics.log_ratio, LOG_Z, atol=1e-5)


def test_hmc_with_a_scale_moves_in_those_units(getkey):
    """Chains of `z` in units of `scale` are the chains of `z / scale`."""
    key, scale = getkey(), jnp.array([0.2, 5.0])
    target, proposal = p.wide_normal(), taut.StandardNormal((2,))

    def ends(unit, kernel):
        starts = taut.Normal(jnp.zeros(2), jnp.log(unit))
        at = taut.Normal(jnp.ones(2) * unit, jnp.log(2 * unit))
        return taut.Annealed(starts, kernel, schedules.linear(4), 3).run(key, at)

    plain = jax.jit(lambda: ends(jnp.ones(2), taut.HMC(0.5, 3)))()
    scaled = jax.jit(lambda: ends(scale, taut.HMC(0.5, 3, scale)))()
    assert jnp.allclose(scaled.value, scale[None] * plain.value, rtol=1e-9)
    assert jnp.allclose(scaled.log_weight, plain.log_weight, rtol=1e-9, atol=1e-9)
    sampler = taut.Annealed(proposal, taut.HMC(0.5, 3, jnp.ones(3)), [1.0])
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        sampler.run(key, target)
    sampler = taut.Annealed(proposal, taut.HMC(0.5, 3, jnp.array([1.0, 0.0])), [1.0])
    with pytest.raises(Exception, match="HMC: expected a `scale` that is positive"):
        eqx.filter_jit(sampler.run)(key, target)


@pytest.mark.parametrize("kernel", [taut.HMC(0.7, 2), taut.Langevin(0.5)])
def test_reverse_chains_from_one_draw(kernel, getkey):
    sampler = taut.Annealed(guide(), kernel, schedules.linear(3))

    def one(key):
        zkey, rkey = jr.split(key)
        z = posterior().sample(zkey)
        log_target = fixture().log_prob(zkey, z)
        chains = taut.reverse_chains(rkey, sampler, fixture(), z, log_target, 3)
        return -taut.harmonic_log_z(chains.log_weight)

    inverse = jnp.exp(jax.jit(jax.vmap(one))(jr.split(getkey(), 20_000)))
    assert_mean(inverse, jnp.exp(-LOG_Z))
    assert_mean(jnp.exp(weights(sampler, jr.split(getkey(), 20_000))), jnp.exp(LOG_Z))


def test_chunks_change_nothing(getkey):
    key = getkey()

    def run(chunk):
        kernel = taut.HMC(0.3, 3)
        sampler = taut.Annealed(
            p.gaussian_guide(), kernel, schedules.sigmoid(20), 5, chunk=chunk
        )
        z = jnp.zeros(2)
        target = p.gaussian_target()
        given = sampler.run_conditional(key, target, z, target.log_prob(key, z))
        return sampler.run(key, target), given

    whole, parts = (jax.jit(run, static_argnums=0)(chunk) for chunk in (None, 2))
    same = lambda a, b: jnp.allclose(a, b, rtol=1e-9, atol=1e-9)
    assert jtu.tree_all(jtu.tree_map(same, whole, parts))
    # Chain k has the same key whatever the number of chains.
    kernel, betas = taut.HMC(0.3, 3), schedules.sigmoid(20)
    fewer = taut.Annealed(p.gaussian_guide(), kernel, betas, 2)
    some = eqx.filter_jit(fewer.run)(key, p.gaussian_target()).log_weight
    assert jnp.allclose(some, whole[0].log_weight[:2], rtol=1e-9)


def tree_fixture():
    """The two dimensions of the shared problem, as a named pair."""
    x = p.observation()
    first = taut.Normal(jnp.zeros(()), jnp.zeros(()))
    second = taut.Normal(jnp.zeros(1), jnp.zeros(1))
    energy = lambda z: (
        -norm.logpdf(x[0], z[0], jnp.sqrt(p.NOISE))
        - jnp.sum(norm.logpdf(x[1], z[1], jnp.sqrt(p.NOISE)))
    )
    proposal = taut.Joint(first, lambda z: second)
    return proposal, taut.Tilted(proposal, energy)


def test_events_may_be_any_pytree(getkey):
    proposal, target = tree_fixture()
    sampler = taut.Annealed(proposal, taut.HMC(0.4), schedules.linear(10), 200)
    particles = eqx.filter_jit(sampler.run)(getkey(), target)
    assert [leaf.shape for leaf in particles.value] == [(200,), (200, 1)]
    scale = jnp.std(jnp.exp(particles.log_weight - p.gaussian_log_z())) / 200**0.5
    assert abs(jnp.exp(particles.log_z - p.gaussian_log_z()) - 1) < 5 * scale


def test_hmc_walks_to_its_target(getkey):
    """One long path at the target: its mean and variance."""
    target = taut.Normal(jnp.array([1.0, -2.0]), jnp.log(jnp.array([0.5, 1.5])))
    start = taut.Normal(jnp.zeros(2), jnp.zeros(2))
    sampler = taut.Annealed(start, taut.HMC(0.4), schedules.constant(40), 4000)
    z = eqx.filter_jit(sampler.run)(getkey(), target).value
    error = jnp.exp(target.log_scale) / jnp.sqrt(4000)
    assert jnp.all(jnp.abs(jnp.mean(z, 0) - target.loc) < 5 * error)
    scale = jnp.exp(target.log_scale)
    assert jnp.all(jnp.abs(jnp.std(z, 0) - scale) < 5 * scale / jnp.sqrt(8000))
