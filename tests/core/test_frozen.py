"""Shared draws are sound in a lower end, wrong in an upper end, and refused there."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut

K = 5
BASE = np.array([0.6, 0.4])  # the proposal of a SNIS prior with two points
ENERGY = np.array([0.0, 2.0])
LIKELIHOOD = np.array([0.2, 0.7])  # of one observation
GUIDE = np.array([0.5, 0.5])


def score(z, u):
    """The SNIS density at `z`, estimated with the other point `u`."""
    others = 0.5 * (np.exp(-ENERGY[z]) + np.exp(-ENERGY[u]))
    return BASE[z] * np.exp(-ENERGY[z]) / others


def density(z):
    return sum(BASE[u] * score(z, u) for u in range(2))


EVIDENCE = sum(density(z) * LIKELIHOOD[z] for z in range(2))


def upper_end(shared):
    """`E[log Z_hat]` and `Z E[1 / Z_hat]` at exact draws, over all that is drawn."""
    bound = reciprocal = total = 0.0
    for z in range(2):
        for others in itertools.product(range(2), repeat=K - 1):
            points = (z, *others)
            for us in itertools.product(range(2), repeat=1 if shared else K):
                # One draw of the prior's for all particles, or one for each. The
                # particle that was given keeps the number that came with it.
                each = us * K if shared else us
                weights = [
                    score(p, u) * LIKELIHOOD[p] / GUIDE[p] for p, u in zip(points, each)
                ]
                chance = np.prod(GUIDE[list(others)]) * np.prod(BASE[list(us)])
                if shared:
                    chance *= density(z) * LIKELIHOOD[z] / EVIDENCE
                else:
                    chance *= score(z, us[0]) * LIKELIHOOD[z] / EVIDENCE
                bound += chance * np.log(np.mean(weights))
                reciprocal += chance * EVIDENCE / np.mean(weights)
                total += chance
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)
    return bound, reciprocal


def test_enumerated_by_hand_the_frozen_upper_end_is_below_the_truth():
    bound, reciprocal = upper_end(shared=False)
    assert bound > np.log(EVIDENCE)
    np.testing.assert_allclose(reciprocal, 1.0, rtol=1e-12)
    bound, reciprocal = upper_end(shared=True)
    print(
        f"below the truth by {np.log(EVIDENCE) - bound:.4f}, Z E[1/Z] {reciprocal:.3f}"
    )
    assert bound < np.log(EVIDENCE) - 0.01
    assert reciprocal > 1.05


class Table(eqx.Module):
    values: jax.Array

    def __call__(self, z):
        return self.values[z]


class Rows(eqx.Module):
    logits: jax.Array

    def __call__(self, z):
        return taut.Categorical(self.logits[z])


def prior():
    return taut.SelfNormalized(
        taut.Categorical(jnp.log(BASE)), Table(jnp.asarray(ENERGY)), 2
    )


def model(prior):
    rows = np.log(np.stack([1 - LIKELIHOOD, LIKELIHOOD], axis=1))
    return taut.Joint(prior, Rows(jnp.asarray(rows)))


def sampler():
    return taut.Importance(taut.Categorical(jnp.log(GUIDE)), K)


def test_the_lower_end_is_sound():
    """One draw for all particles: still unbiased."""

    @jax.jit
    @jax.vmap
    def run(key):
        fkey, rkey = jr.split(key)
        frozen = model(taut.Frozen(prior(), fkey))
        target = taut.Conditioned(frozen, jnp.array(1))
        return jnp.exp(sampler().run(rkey, target).log_z)

    z = np.asarray(run(jr.split(jr.key(0), 40_000)))
    assert abs(z.mean() - EVIDENCE) < 4.5 * z.std() / 200


def test_draws_are_shared():
    frozen = taut.Frozen(prior(), jr.key(0))
    score = lambda key: frozen.log_prob(key, jnp.array(1))
    scores = jax.vmap(score)(jr.split(jr.key(1), 20))
    assert (scores == scores[0]).all()


X = jnp.array(1)
WORDS = "`Frozen` target.*could fall below the truth.*unfrozen"


def frozen_target():
    return taut.Conditioned(model(taut.Frozen(prior(), jr.key(0))), X)


def test_conditional_runs_refuse_it():
    with pytest.raises(TypeError, match=WORDS):
        sampler().run_conditional(jr.key(0), frozen_target(), X, jnp.zeros(()))


def test_samples_refuse_it():
    frozen = model(taut.Frozen(prior(), jr.key(0)))
    densities = [
        frozen,
        taut.Marginal(frozen, lambda x: sampler()),
        taut.Averaged(taut.Marginal(frozen, lambda x: sampler()), 2),
        taut.Induced(frozen_target(), sampler()),
        taut.Induced(
            taut.Frozen(taut.Tilted(prior(), Table(jnp.ones(2))), jr.key(0)), sampler()
        ),
    ]
    for density in densities:
        with pytest.raises(TypeError, match=WORDS):
            density.sample_and_log_prob(jr.key(0))


def test_conditional_scores_refuse_it():
    with pytest.raises(TypeError, match=WORDS):
        taut.Induced(frozen_target(), sampler()).log_prob(jr.key(0), X)


class Written(taut.AbstractTarget):
    """A target by a plain function."""

    fn: Callable
    exact: ClassVar[bool] = True

    def log_prob(self, key, x):
        return self.fn(x)


def test_functions_are_searched():
    """Closures (also a closure's, also one that closes over itself), defaults, partial
    functions and wrapped ones.
    """
    target = frozen_target()

    def score(z):
        return target.log_prob(jr.key(0), z)

    def again(z, depth=0):
        return score(z) if depth else again(z, 1)

    def given(target, z):
        return target.log_prob(jr.key(0), z)

    functions = [score, lambda z: score(z), again, lambda z, t=target: given(t, z)]
    functions += [partial(given, target), jax.jit(score), jax.checkpoint(score)]
    for fn in functions:
        with pytest.raises(TypeError, match=WORDS):
            sampler().run_conditional(jr.key(0), Written(fn), X, jnp.zeros(()))
    fine = Written(lambda z: jnp.where(z == X, 0.0, -1.0))
    assert sampler().run_conditional(jr.key(0), fine, X, jnp.zeros(())).log_z > -1
