"""Refinements: reductions, gradients, ends in order, and what is refused."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut
from contract import problems as p
from taut import recipes

LOG_Z = -1.87167  # N(0, 1) prior, variance 0.5, x = 1.5


class Decoder(eqx.Module):
    slope: jax.Array

    def __call__(self, z):
        return taut.Normal(self.slope * z, jnp.full_like(z, 0.5 * jnp.log(0.5)))


def model():
    prior = taut.Normal(jnp.zeros(1), jnp.zeros(1))
    return taut.Joint(prior, Decoder(jnp.ones(1)))


def target():
    return taut.Conditioned(model(), jnp.array([1.5]))


def start():
    return taut.Normal(jnp.array([0.5]), jnp.array([0.0]))


def values(sampler, seed=0, num=1):
    run = lambda key: sampler.run(key, target())
    return eqx.filter_jit(jax.vmap(run))(jr.split(jr.key(seed), num))


def log_z(sampler, seed, num):
    one = lambda key: sampler.run(key, target()).log_z
    return np.asarray(jax.jit(jax.vmap(one))(jr.split(jr.key(seed), num)))


@pytest.mark.parametrize("double", [False, True])
def test_no_steps_is_one_draw(double):
    particles = values(taut.Refined(start(), 0.1, 0, double=double), num=3)
    assert particles.log_weight.shape == (3, 1)
    q = jax.vmap(start().log_density)(particles.value[:, 0])
    assert jnp.allclose(particles.log_weight[:, 0], particles.log_target[:, 0] - q)


def test_last_weight_alone_is_svi():
    """`pi = (0, .., 0, 1)`: exactly the last weight, and zeros elsewhere."""
    buffered = values(taut.Refined(start(), 0.1, 3))
    last = taut.FixedWeights((0.0, 0.0, 0.0, 1.0))
    svi = values(taut.Refined(start(), 0.1, 3, last))
    assert jnp.all(jnp.isneginf(svi.log_weight[:, :3]))
    assert jnp.allclose(jax.vmap(lambda s: s.log_z)(svi), buffered.log_weight[:, 3])


def test_rate_zero_is_iwae_in_law():
    """Learning rate 0 and equal weights: the IWAE bound with `steps + 1` samples, whose
    value here is -1.9027 for ten."""
    bound = log_z(taut.Refined(start(), 0.0, 9), 1, 40_000)
    assert abs(bound.mean() - -1.9027) < 4 * bound.std() / 200 + 1e-4
    proposals = values(taut.Refined(start(), 0.0, 3)).diagnostics.proposal
    assert jnp.all(proposals.loc == 0.5)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("size", [0.05, 0.15])
def test_constant_is_unbiased(size, double):
    """`E[sum pi_i w_i] = exp(-1.87167) = 0.15387` whatever the learning rate."""
    sampler = taut.Refined(start(), size, 4, double=double, clip=taut.Clip(2.0))
    z = np.exp(log_z(sampler, 2, 100_000))
    assert abs(z.mean() - np.exp(LOG_Z)) < 4.5 * z.std() / len(z) ** 0.5
    assert z.std() / len(z) ** 0.5 < 0.002 * np.exp(LOG_Z)


def test_bounds_in_order():
    """Buffered >= SVI-like best weights >= ELBO; all below the truth, upper above."""
    rules = {"momentum": 0.5, "clip": taut.Clip(2.0)}
    elbo = log_z(taut.Refined(start(), 0.1, 0), 3, 40_000)
    last = taut.FixedWeights((0.0,) * 5 + (1.0,))
    svi = log_z(taut.Refined(start(), 0.1, 5, last, **rules), 4, 40_000)
    late = taut.FixedWeights((0.05, 0.05, 0.1, 0.2, 0.3, 0.3))
    buffered = taut.Refined(start(), 0.1, 5, late, **rules)
    bound = log_z(buffered, 4, 40_000)
    error = lambda a: a.std() / len(a) ** 0.5
    assert elbo.mean() == pytest.approx(-2.69736, abs=4 * error(elbo))
    assert elbo.mean() < svi.mean() - 4 * error(svi)
    assert (bound - svi).mean() > 4 * error(bound - svi)
    assert bound.mean() < LOG_Z - 4 * error(bound)
    posterior = taut.Normal(jnp.ones(1), jnp.full(1, -0.5 * jnp.log(3.0)))

    def above(key):
        zkey, rkey = jr.split(key)
        z = posterior.sample(zkey)
        given = target().log_prob(key, z)
        return buffered.run_conditional(rkey, target(), z, given).log_z

    upper = np.asarray(jax.jit(jax.vmap(above))(jr.split(jr.key(5), 40_000)))
    assert upper.mean() > LOG_Z + 4 * error(upper)
    assert upper.mean() - LOG_Z < 0.3


@pytest.mark.thorough
def test_best_fixed_weights_dominate():
    """The bound is concave in `pi`, so its best value is at least that of SVI."""
    logits = jnp.zeros(4)

    @jax.jit
    def bound(logits, seed):
        sampler = taut.Refined(start(), 0.1, 3, taut.SoftmaxWeights(logits))
        one = lambda key: sampler.run(key, target()).log_z
        return jnp.mean(jax.vmap(one)(jr.split(jr.key(seed), 4000)))

    slope = jax.jit(jax.grad(bound))
    assert abs(jnp.sum(slope(logits, 0))) < 1e-10  # the softmax's own constraint
    for _ in range(60):
        logits = logits + 4.0 * slope(logits, 0)
    only = lambda i: jnp.where(jnp.arange(4) == i, 0.0, -1e3)
    assert bound(logits, 0) >= max(bound(only(i), 0) for i in range(4))
    assert bound(logits, 0) >= bound(jnp.zeros(4), 0)


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


def test_momentum_and_clip():
    """Against a loop by hand, with the noise inverted from the draws."""
    sampler = taut.Refined(
        start(), jnp.array([0.3, 0.2]), 2, momentum=0.5, clip=taut.Clip(1.5)
    )
    particles = values(sampler, 6, 1)
    q, velocity = start(), (jnp.zeros(1), jnp.zeros(1))
    for i, size in enumerate((0.3, 0.2)):
        noise = q.to_noise(particles.value[0, i])

        def weight(parameters, noise=noise):
            q = taut.Normal(*parameters)
            z = q.from_noise(noise)
            return target().log_prob(jr.key(0), z) - q.log_density(z)

        slope = jax.grad(weight)((q.loc, q.log_scale))
        clip = lambda g: g * jnp.minimum(1.0, 1.5 / jnp.linalg.norm(g))
        velocity = tuple(0.5 * v + clip(g) for v, g in zip(velocity, slope))
        q = taut.Normal(q.loc + size * velocity[0], q.log_scale + size * velocity[1])
    last = particles.diagnostics.proposal
    assert jnp.allclose(last.loc[0, 2], q.loc, atol=1e-10)
    assert jnp.allclose(last.log_scale[0, 2], q.log_scale, atol=1e-10)


def test_diverging_steps_are_counted():
    particles = values(taut.Refined(start(), 1e308, 3))
    assert particles.diagnostics.rejected.sum() >= 1
    assert not particles.diagnostics.rejected[0, -1]
    assert jnp.all(jnp.isfinite(particles.diagnostics.proposal.loc))


@pytest.mark.parametrize("clip", [None, taut.Clip(7.0)])
@pytest.mark.parametrize("size", [1e3, 1e6])
def test_steps_to_scales_beyond_the_type_are_refused(size, clip):
    """Log scales of a thousand are finite numbers, but no weight would be."""
    particles = values(taut.Refined(start(), size, 6, clip=clip, momentum=0.5))
    assert particles.diagnostics.rejected.sum() >= 1
    assert not jnp.any(jnp.isnan(particles.log_weight))


def test_upper_end_of_no_steps_asks_for_no_noise(getkey):
    """One draw of a law without `to_noise`: the weight is that of the given one."""
    proposal, aim = taut.Bernoulli(jnp.zeros(2)), taut.Bernoulli(jnp.ones(2))
    z = jnp.array([1.0, 0.0])
    log_target = aim.log_density(z)
    sampler = taut.Refined(proposal, 0.1, 0)
    upper = sampler.run_conditional(getkey(), aim, z, log_target).log_z
    assert jnp.allclose(upper, log_target - proposal.log_density(z))


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


def test_clip_of_a_batch():
    """The norm is the batch's; and then there is no upper end."""
    clip = taut.ClipBatch(1.0, "batch")
    slopes = jnp.array([[3.0], [4.0]])
    short = jax.vmap(clip, axis_name="batch")
    assert jnp.allclose(short(slopes), slopes / 5)
    # One slope's change shortens the other's.
    turn = jax.jvp(short, (slopes,), (jnp.array([[1.0], [0.0]]),))[1]
    assert jnp.allclose(turn, jnp.array([[16.0], [-12.0]]) / 125)
    sampler = taut.Refined(start(), 0.1, 2, clip=clip)
    with pytest.raises(TypeError, match="depend on the other examples"):
        sampler.run_conditional(jr.key(0), target(), jnp.ones(1), jnp.array(0.0))


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_clip_of_any_size(size, float32):
    """Lengths whose squares are beyond the type are shortened all the same; no slope
    stays none, and derivatives are finite.
    """
    slope = size * jnp.array([3.0, 4.0])
    clipped = lambda g: taut.Clip(0.5 * size)(g)
    assert jnp.allclose(clipped(slope) / size, jnp.array([0.3, 0.4]))
    assert jnp.array_equal(taut.Clip(6.0 * size)(slope), slope)
    assert jnp.all(taut.Clip(0.0)(slope) == 0)
    assert jnp.all(clipped(0 * slope) == 0)
    # Across the slope a clipped one turns by 0.5 / 5; along it nothing changes.
    turn = jax.jvp(clipped, (slope,), (jnp.array([-4.0, 3.0]),))[1]
    assert jnp.allclose(turn, jnp.array([-0.4, 0.3]))
    along = jax.jvp(clipped, (slope,), (jnp.array([3.0, 4.0]),))[1]
    assert jnp.allclose(along, 0, atol=1e-6)


def test_steps_along_a_divergence_in_closed_form():
    """One step by hand; over many, the same on average with less noise; weights are
    those of the draws.
    """
    closed = taut.Refined(start(), 0.1, 1, divergence=taut.gaussian_divergence)
    plain = taut.Refined(start(), 0.1, 1)
    a, b = values(closed, 3, 20_000), values(plain, 3, 20_000)
    z = a.value[:, 0, 0]
    # KL(N(m, s^2) || N(0, 1)) falls by m for the location, s^2 - 1 for the log scale.
    slope = (1.5 - z) / 0.5
    by_hand = {
        "loc": 0.5 + 0.1 * (slope - 0.5),
        "log_scale": 0.1 * slope * (z - 0.5),
    }
    for name, known in by_hand.items():
        last, other = (getattr(p.diagnostics.proposal, name)[:, 1, 0] for p in (a, b))
        assert jnp.allclose(last, known, atol=1e-10)
        apart = np.asarray(last - other)
        assert abs(apart.mean()) < 4.5 * apart.std() / len(apart) ** 0.5
        assert jnp.std(last) < 0.95 * jnp.std(other)
    density = jax.jit(jax.vmap(jax.vmap(lambda q, z: q.log_density(z))))
    log_q = density(a.diagnostics.proposal, a.value)
    assert jnp.allclose(a.log_weight, a.log_target - log_q)


def test_annealed_steps():
    """At `beta` the weights are those of the annealed loss, and no bound."""
    sampler = taut.Refined(start(), 0.0, 1, beta=0.3)
    particles = values(sampler)
    plain = values(taut.Refined(start(), 0.0, 1))
    likelihood = plain.log_likelihood
    expected = likelihood + 0.3 * (plain.log_weight - likelihood)
    assert jnp.allclose(particles.log_weight, expected)
    with pytest.raises(TypeError, match="no upper end"):
        sampler.run_conditional(jr.key(0), target(), jnp.ones(1), jnp.array(0.0))


@pytest.mark.thorough
def test_estimated_target_moves_with_other_draws_than_it_weighs():
    """With a model that is only estimated both ends stay right (here: from below)."""
    posterior = taut.SelfNormalized(start(), lambda z: 0.1 * jnp.sum(z**2), 2)
    estimated = taut.Conditioned(
        taut.Joint(posterior, Decoder(jnp.ones(1))), jnp.array([1.5])
    )
    assert not estimated.exact
    sampler = taut.Refined(start(), 0.05, 2)
    one = lambda key: jnp.exp(sampler.run(key, estimated).log_z)
    plain = lambda key: jnp.exp(taut.Importance(start(), 3).run(key, estimated).log_z)
    keys = jr.split(jr.key(0), 60_000)
    a, b = (np.asarray(jax.jit(jax.vmap(f))(keys)) for f in (one, plain))
    assert abs(a.mean() - b.mean()) < 4.5 * np.sqrt((a.var() + b.var()) / len(keys))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: taut.Refined(start(), 0.1, -1),
            "must be an integer of at least",
        ),
        (lambda: taut.Refined(start(), jnp.ones(3), 2), "one for each step"),
        (
            lambda: taut.Refined(start(), 0.1, 2, taut.FixedWeights((0.5, 0.5))),
            "expected 3 weights",
        ),
        (lambda: taut.FixedWeights((0.5, 0.6)), "add up to 1"),
        (lambda: taut.Clip(-1.0), "at least 0; got -1.0"),
        (lambda: taut.ClipBatch(math.nan, "batch"), "at least 0; got nan"),
    ],
)
def test_values_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_types_refused(getkey):
    weights = taut.PowerWeights(1.0)
    with pytest.raises(TypeError, match="the same at every point"):
        taut.Refined(start(), 0.1, 2, weights)
    with pytest.raises(TypeError, match="differentiate through the draws"):
        taut.Refined(p.finite_proposal(), 0.1, 2)
    mixture = recipes.SemiImplicit(start(), lambda u: taut.Normal(u, u * 0), 2)
    sampler = taut.Refined(mixture, 0.1, 2)
    with pytest.raises(TypeError, match="to_noise.*double=True"):
        sampler.run_conditional(getkey(), target(), jnp.ones(1), jnp.array(0.0))
    frozen = taut.Frozen(target(), getkey())
    with pytest.raises(TypeError, match="Frozen"):
        taut.Refined(start(), 0.1, 2).run_conditional(
            getkey(), frozen, jnp.ones(1), jnp.array(0.0)
        )
    tilted = taut.Tilted(start(), lambda z: jnp.sum(z))
    with pytest.raises(TypeError, match="`beta` anneals the prior"):
        taut.Refined(start(), 0.1, 1, beta=0.5).run(getkey(), tilted)
    closed = taut.Refined(start(), 0.1, 1, divergence=taut.gaussian_divergence)
    with pytest.raises(TypeError, match="that from the prior of a model"):
        closed.run(getkey(), tilted)


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
