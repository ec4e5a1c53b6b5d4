"""Gradients of refined draws: decoupled, resampled, unrolled, and of the upper end."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from refined_fixture import values
from scalar_gaussian import Decoder, model, start, target

import taut
from taut import recipes


def slopes(draw, *, seed, num, weights=None):
    """Gradients of `log_z` by every parameter: model, proposal, weights, step size."""
    weights = weights or taut.SoftmaxWeights(jnp.array([0.1, -0.2, 0.4]))

    def one(key):
        def bound(parts):
            joint, q, weights, size = parts
            sampler = taut.Refined(q, size, 2, weights, momentum=0.5, draw=draw)
            return sampler.run(key, taut.Conditioned(joint, jnp.array([1.5]))).log_z

        return eqx.filter_grad(bound)((model(), start(), weights, jnp.array(0.1)))

    return eqx.filter_jit(jax.vmap(one))(jr.split(jr.key(seed), num))


def test_decoupled_gradient():
    """`sum_i r_i d log p(x, z_i)`, to rounding; none to the proposal."""
    joint, q, weights, size = slopes(taut.decoupled, seed=1, num=4)
    assert jnp.all(q.loc == 0) & jnp.all(q.log_scale == 0) & jnp.all(size == 0)
    sampler = taut.Refined(
        start(), jnp.array(0.1), 2, taut.SoftmaxWeights(jnp.array([0.1, -0.2, 0.4])),
        momentum=0.5,
    )  # fmt: skip
    particles = values(sampler, 1, 4)
    shares = jax.vmap(lambda s: s.probs)(particles)
    z = particles.value[..., 0]
    by_hand = jnp.sum(shares * (1.5 - z) * z / 0.5, axis=1)
    assert jnp.allclose(joint.likelihood.slope[:, 0], by_hand, atol=1e-10)
    prior = jnp.sum(shares * z, axis=1)
    assert jnp.allclose(joint.prior.loc[:, 0], prior, atol=1e-10)
    pi = jax.nn.softmax(jnp.array([0.1, -0.2, 0.4]))
    assert jnp.allclose(weights.logits, shares - pi[None], atol=1e-10)


def test_chunks_change_nothing():
    """Of the second pass over the draws, which the model's gradient needs."""

    @eqx.filter_jit
    def both(joint, chunk):
        def bound(joint):
            sampler = taut.Refined(start(), 0.1, 4, chunk=chunk)
            return sampler.run(jr.key(0), taut.Conditioned(joint, jnp.ones(1))).log_z

        return eqx.filter_value_and_grad(bound)(joint)

    same = jax.tree.map(jnp.allclose, both(model(), 2), both(model(), None))
    assert jax.tree.all(same)


@pytest.mark.parametrize("indices", [1, pytest.param(3, marks=pytest.mark.thorough)])
def test_resampled_gradient(indices):
    """On average over the index, the decoupled gradient, and none to the proposal."""
    num = 20_000
    draw = functools.partial(taut.resampled, indices=indices)
    sir = slopes(draw, seed=4, num=num)
    plain = slopes(taut.decoupled, seed=5, num=num)
    a, b = (np.asarray(s[0].likelihood.slope[:, 0]) for s in (sir, plain))
    assert abs(a.mean() - b.mean()) < 4.5 * np.sqrt((a.var() + b.var()) / num)
    assert jnp.allclose(sir[2].logits.mean(0), plain[2].logits.mean(0), atol=0.02)
    assert jnp.all(sir[1].loc == 0)


def test_resampled_backward_is_free_of_steps():
    """The backward pass holds the chosen draw alone: the compiled residuals between the
    two passes have no axis of `num` steps times the decoder's width."""

    width = 257

    class Wide(eqx.Module):
        weight: jax.Array

        def __call__(self, z):
            hidden = jnp.tanh(self.weight * z)
            return taut.Normal(jnp.sum(hidden, keepdims=True), jnp.zeros(1))

    def residuals(draw):
        def bound(weight):
            prior = taut.StandardNormal((1,))
            joint = taut.Joint(prior, Wide(weight))
            sampler = taut.Refined(start(), 0.01, 6, draw=draw)
            return sampler.run(jr.key(0), taut.Conditioned(joint, jnp.ones(1))).log_z

        _, pull = jax.vjp(bound, jnp.ones(width))
        return sum(a.size for a in jax.tree.leaves(pull) if hasattr(a, "size"))

    every = eqx.filter_eval_shape(residuals, taut.decoupled)
    one = eqx.filter_eval_shape(residuals, taut.resampled)
    assert every > 7 * width
    assert one < 5 * width


def test_unrolled_gradient():
    """Through the steps: agrees with finite differences on fixed keys."""
    keys = jr.split(jr.key(8), 3)

    @jax.jit
    def bound(parameters):
        loc, log_scale, size, slope = parameters
        q = taut.Normal(loc[None], log_scale[None])
        sampler = taut.Refined(q, size, 3, momentum=0.5, draw=taut.unrolled)
        joint = taut.Joint(model().prior, Decoder(slope[None]))
        aim = taut.Conditioned(joint, jnp.array([1.5]))
        return jnp.mean(jax.vmap(lambda key: sampler.run(key, aim).log_z)(keys))

    at = jnp.array([0.5, 0.0, 0.1, 1.0])
    slope = jax.jit(jax.grad(bound))(at)
    step = 1e-5 * jnp.eye(4)
    numeric = jnp.array([(bound(at + e) - bound(at - e)) / 2e-5 for e in step])
    assert jnp.allclose(slope, numeric, rtol=1e-5, atol=1e-7)
    assert jnp.all(jnp.abs(slope) > 1e-4)


def test_zero_weights_have_finite_gradients():
    weights = taut.FixedWeights((0.0, 1.0, 0.0))
    for draw in (taut.decoupled, taut.unrolled):
        grads = slopes(draw, seed=0, num=2, weights=weights)
        leaves = jax.tree.leaves(eqx.filter(grads, eqx.is_array))
        assert all(jnp.all(jnp.isfinite(g)) for g in leaves)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_upper_end(seed):
    """Through the noise that would have made the given draw, by differences."""
    z = jnp.array([0.9])
    log_target = target().log_prob(jr.key(0), z)

    def upper(loc):
        q = taut.Normal(loc[None], jnp.zeros(1))
        sampler = taut.Refined(q, 0.1, 3, momentum=0.5, draw=taut.unrolled)
        return sampler.run_conditional(jr.key(seed), target(), z, log_target).log_z

    loc, by = jnp.array(0.1), 1e-5
    upper = jax.jit(upper)
    difference = (upper(loc + by) - upper(loc - by)) / (2 * by)
    assert jnp.allclose(jax.grad(upper)(loc), difference, rtol=1e-5)


def test_bsvi_loss():
    """The guide sees its ELBO alone, the model the buffered bound alone."""

    class Guide(eqx.Module):
        loc: jax.Array

        def __call__(self, x):
            return taut.Normal(self.loc, jnp.zeros(1))

    def loss(parts, key, steps):
        joint, guide = parts
        rules = {"step_size": 0.1, "steps": steps}
        return recipes.bsvi_loss(key, joint, guide, jnp.array([1.5]), **rules)[0]

    grad = jax.vmap(eqx.filter_grad(loss), (None, 0, None))
    parts = model(), Guide(jnp.array([0.5]))
    go = eqx.filter_jit(lambda parts, keys: grad(parts, keys, 2))
    joint, guide = go(parts, jr.split(jr.key(0), 20_000))
    # the ELBO of N(m, 1): d/dm = -m + 2 (1.5 - m) = 1.5 at m = 0.5
    g = np.asarray(guide.loc[:, 0])
    assert abs(g.mean() + 1.5) < 4.5 * g.std() / len(g) ** 0.5
    sampler = taut.Refined(parts[1](None), 0.1, 2, momentum=0.5)
    particles = values(sampler, 9, 20_000)
    shares = jax.vmap(lambda s: s.probs)(particles)
    z = particles.value[..., 0]
    h = np.asarray(jnp.sum(shares * (1.5 - z) * z / 0.5, axis=1))
    a = -np.asarray(joint.likelihood.slope[:, 0])
    assert abs(a.mean() - h.mean()) < 4.5 * np.sqrt((a.var() + h.var()) / len(a))
