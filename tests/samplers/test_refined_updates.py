"""Where the steps of a refinement go: along the slope, on natural parameters, or as a
network says; and step sizes that are learned.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import taut

LOG_Z = -1.87167  # N(0, 1) prior, variance 0.5, x = 1.5; the posterior is N(1, 1/3)
LOC, VARIANCE = 1.0, 1 / 3


def target():
    likelihood = lambda z: taut.Normal(z, jnp.full_like(z, 0.5 * jnp.log(0.5)))
    model = taut.Joint(taut.StandardNormal((1,)), likelihood)
    return taut.Conditioned(model, jnp.array([1.5]))


def by_scale(loc, log_variance):
    return taut.Normal(loc, log_variance / 2)


MAKERS = [taut.LogVarianceNormal, by_scale]


@pytest.mark.parametrize("make", MAKERS)
def test_a_natural_step_of_one_is_the_posterior(make):
    """On the exact ELBO of a Gaussian model, whatever the proposal's parameters."""
    q = make(jnp.array([0.5]), jnp.array([0.4]))
    update = taut.NaturalAscent(make)

    def elbo(q):
        # -KL(q || posterior), but for a constant.
        noise = jnp.array([-1.0, 1.0])
        ends = jax.vmap(lambda e: q.from_noise(e[None]))(noise)[:, 0]
        loc, scale = jnp.mean(ends), (ends[1] - ends[0]) / 2
        return jnp.log(scale) - (scale**2 + (loc - LOC) ** 2) / (2 * VARIANCE)

    step = update.direction(q, jax.grad(elbo)(q))
    known = make(jnp.array([LOC]), jnp.log(jnp.array([VARIANCE])))
    same = jax.tree.map(jnp.allclose, update.moved(q, step), known)
    assert jax.tree.all(same)
    # A step of a half is half-way in precision.
    half = update.moved(q, jax.tree.map(lambda s: s / 2, step))
    scale = half.from_noise(jnp.ones(1)) - half.from_noise(jnp.zeros(1))
    assert 1 / scale[0] ** 2 == pytest.approx((3 + np.exp(-0.4)) / 2)


def test_negative_variances_are_refused_and_counted():
    q = taut.LogVarianceNormal(jnp.array([3.0]), jnp.zeros(1))
    update = taut.NaturalAscent(taut.LogVarianceNormal)
    sampler = taut.Refined(q, 5.0, 4, update=update)
    run = lambda key: sampler.run(key, target())
    particles = eqx.filter_jit(jax.vmap(run))(jr.split(jr.key(0), 50))
    rejected = particles.diagnostics.rejected
    assert 0 < jnp.mean(rejected) < 1
    assert jnp.all(jnp.isfinite(particles.log_weight))
    # A refused step leaves the proposal where it was.
    loc = particles.diagnostics.proposal.loc[..., 0]
    stays = loc[:, 1:] == loc[:, :-1]
    assert jnp.all(stays == rejected[:, :-1])


def last(steps):
    return taut.FixedWeights((0.0,) * steps + (1.0,))


def bound(sampler, seed, num=2000):
    run = lambda key: sampler.run(key, target()).log_z
    return jnp.mean(jax.vmap(run)(jr.split(jr.key(seed), num)))


def start():
    return taut.LogVarianceNormal(jnp.array([0.5]), jnp.zeros(1))


def test_natural_steps_come_closer():
    """Ten steps of SVI: from the start's -2.697 near the truth."""
    update = taut.NaturalAscent(taut.LogVarianceNormal)
    sampler = taut.Refined(start(), 0.1, 10, last(10), update=update)
    value = eqx.filter_jit(bound)(sampler, 1)
    assert -2.4 < value < LOG_Z


def trained(make, parts, steps=120, rate=0.05):
    """`parts` after some steps along the gradient of the bound of `make(parts)`."""
    optimiser = optax.adam(rate)

    @eqx.filter_jit
    def step(parts, state, seed):
        loss = lambda parts: -bound(make(parts), seed, 64)
        slope = eqx.filter_grad(loss)(parts)
        updates, state = optimiser.update(slope, state)
        return eqx.apply_updates(parts, updates), state

    state = optimiser.init(eqx.filter(parts, eqx.is_inexact_array))
    for seed in range(steps):
        parts, state = step(parts, state, jnp.asarray(seed))
    return parts


def test_learned_updates():
    """Two steps of a trained network come nearer than they did, and than the start."""

    def make(update):
        return taut.Refined(start(), 1.0, 2, last(2), update=update, draw=taut.unrolled)

    update = taut.LearnedUpdate(eqx.nn.MLP(4, 4, 8, 1, key=jr.key(0)))
    before = eqx.filter_jit(bound)(make(update), 1)
    after = eqx.filter_jit(bound)(make(trained(make, update)), 1)
    assert after > before + 0.1
    assert -2.3 < after < LOG_Z  # the start's own bound is -2.697


@pytest.mark.thorough
def test_learned_step_sizes():
    def make(log_size):
        size = jnp.exp(log_size)
        return taut.Refined(start(), size, 3, last(3), draw=taut.unrolled)

    log_size = jnp.full(3, jnp.log(0.01))
    learned = trained(make, log_size, 60)
    assert jnp.all(learned > log_size)
    value = eqx.filter_jit(bound)
    assert value(make(learned), 1) > value(make(log_size), 1) + 0.1


def test_a_network_gets_no_gradient_from_held_steps():
    """`decoupled` and `resampled` hold the steps; `unrolled` differentiates them."""
    net = eqx.nn.MLP(4, 4, 3, 1, key=jr.key(0))

    def slope(draw):
        def value(net):
            update = taut.LearnedUpdate(net)
            sampler = taut.Refined(start(), 1.0, 2, update=update, draw=draw)
            return sampler.run(jr.key(2), target()).log_z

        leaves = jax.tree.leaves(eqx.filter_jit(eqx.filter_grad(value))(net))
        return max(float(jnp.max(jnp.abs(leaf))) for leaf in leaves)

    assert slope(taut.decoupled) == 0
    assert slope(taut.resampled) == 0
    assert slope(taut.unrolled) > 1e-3


def test_refused():
    pair = taut.Independent([start(), start()])
    natural = taut.NaturalAscent(taut.LogVarianceNormal)
    z = lambda: taut.Tilted(pair, lambda z: jnp.sum(z[0] ** 2) + jnp.sum(z[1] ** 2))
    with pytest.raises(TypeError, match="made from one array of noise"):
        taut.Refined(pair, 0.1, 1, update=natural).run(jr.key(0), z())
    other = taut.Normal(jnp.zeros(1), jnp.zeros(1))
    with pytest.raises(TypeError, match="proposals like the one that moves"):
        taut.Refined(other, 0.1, 1, update=natural).run(jr.key(0), target())
    short = taut.LearnedUpdate(lambda seen: seen[:2])
    with pytest.raises(ValueError, match="expected 4 numbers of `net`"):
        taut.Refined(start(), 0.1, 1, update=short).run(jr.key(0), target())
    with pytest.raises(TypeError, match="densities with `to_noise`"):
        taut.Independent([taut.Bernoulli(jnp.zeros(1))])
    with pytest.raises(ValueError, match="at least 1"):
        taut.Independent([])
