"""Clamped refinements that look right and are not: the contract catches each."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from jax.scipy.stats import norm

import taut
from taut.core.checks import particle_keys, split
from taut.samplers.weights import weighed
from taut.testing import ContractError, check_sampler

from . import problems as p

STEP = 0.25
WEIGHTS = taut.SoftmaxWeights(jnp.log(jnp.array([0.15, 0.25, 0.6])))


class Located(taut.AbstractReparameterised):
    """A Gaussian of a fixed width, a little wider than the posterior: the weights stay
    bounded wherever the steps lead."""

    loc: jax.Array
    scale: float = eqx.field(static=True)

    def noise(self, key):
        return jr.normal(key, self.loc.shape)

    def from_noise(self, noise):
        return self.loc + self.scale * noise

    def to_noise(self, x):
        return (x - self.loc) / self.scale

    def log_density(self, x):
        return jnp.sum(norm.logpdf(x, self.loc, self.scale))


class Whole(taut.Refined):
    """Nothing wrong."""


class StoppedClamp(taut.Refined):
    """The given draw is put in place, so that no gradient flows through it."""

    def _clamped(self, q, key, i, clamp):
        return None if clamp is None else (i == clamp[0], clamp[1])

    def _mover(self, q, key, noise):
        if noise is None:
            return q.sample_and_log_prob(key)
        z = jnp.where(*noise, q.draw(key))
        return z, q.log_density(z)


class FreshNoise(taut.Refined):
    """The proposal is moved by a draw of its own, not by the one that was given."""

    def _clamped(self, q, key, i, clamp):
        return None


class AnyIndex(taut.Refined):
    """The index of the given draw is not drawn from the weights."""

    def run_conditional(self, key, target, z, log_target):
        ikey, pkey, tkey = split(key, 3)
        i = jr.randint(ikey, (), 0, self.num)
        others = self.path(pkey, particle_keys(tkey, self.num), target, (i, z))
        q = jax.tree.map(lambda a: a[i], others.diagnostics.proposal)
        log_weight = log_target - q.log_density(z)
        return weighed(others.retain(i, z, log_target, log_weight), self.weights)


def check(kind, num=40_000):
    posterior = p.gaussian_posterior(jnp.array([0.7]))
    proposal = Located(posterior.loc - 0.35, 0.52)
    target = taut.Conditioned(p.gaussian_joint(1), jnp.array([0.7]))
    return check_sampler(
        kind(proposal, STEP, 2, WEIGHTS),
        target,
        key=jr.key(7),
        posterior=posterior,
        log_z=p.gaussian_log_z(jnp.array([0.7])),
        num=num,
    )


def test_nothing_wrong():
    check(Whole)


@pytest.mark.parametrize("kind", [StoppedClamp, FreshNoise, AnyIndex])
def test_caught(kind):
    with pytest.raises(ContractError, match="pairing|upper"):
        check(kind)
