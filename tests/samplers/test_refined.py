"""Refinements: reductions, ends in order, and what is refused."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from refined_fixture import log_z, values
from scalar_gaussian import LOG_Z, Decoder, start, target

import taut
from contract import problems as p
from taut import recipes


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


def test_upper_end_of_no_steps_asks_for_no_noise(getkey):
    """One draw of a law without `to_noise`: the weight is that of the given one."""
    proposal, aim = taut.Bernoulli(jnp.zeros(2)), taut.Bernoulli(jnp.ones(2))
    z = jnp.array([1.0, 0.0])
    log_target = aim.log_density(z)
    sampler = taut.Refined(proposal, 0.1, 0)
    upper = sampler.run_conditional(getkey(), aim, z, log_target).log_z
    assert jnp.allclose(upper, log_target - proposal.log_density(z))


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
