"""Broken variants of the core, as they would be written by mistake."""

import jax
import jax.numpy as jnp
import jax.random as jr

import taut
from taut.core.numerics import log_mean_exp

from . import problems as p
from .registry import DensityCase, SamplerCase, broken_case


def noisy_vae():
    """One particle from a guide that is somewhat off."""
    return taut.Marginal(p.gaussian_joint(), taut.Amortized(p.LinearGuide(0.2)))


def noisy_prior():
    """Two particles, and energies that differ."""
    target = taut.Tilted(p.finite_proposal(), p.Table(jnp.array([1.5, -1.0, 0.8, 0.1])))
    return taut.Induced(target, taut.Importance(p.finite_proposal(), 2))


class FreshAtOwnSample(taut.AbstractDensity):
    """Scores its own draw afresh instead of keeping the number that came with it."""

    density: taut.AbstractDensity
    exact = False
    reparameterised = False

    def sample_and_log_prob(self, key):
        dkey, skey = jr.split(key)
        x = self.density.sample(dkey)
        return x, self.density.log_prob(skey, x)

    def log_prob(self, key, x):
        return self.density.log_prob(key, x)


@broken_case("upper")
def fresh_score_of_a_marginal():
    return DensityCase(FreshAtOwnSample(noisy_vae()), p.wide_normal())


@broken_case("upper")
def fresh_score_of_an_induced():
    return DensityCase(FreshAtOwnSample(noisy_prior()), p.uniform_states())


class ReusedKey(taut.AbstractDensity):
    """An average whose estimates are all made with one key."""

    density: taut.AbstractDensity
    exact = False
    reparameterised = False

    def sample_and_log_prob(self, key):
        dkey, skey = jr.split(key)
        x, first = self.density.sample_and_log_prob(dkey)
        again = self.density.log_prob(skey, x)
        return x, log_mean_exp(jnp.stack([first, again, again, again]))

    def log_prob(self, key, x):
        return log_mean_exp(jnp.full(4, self.density.log_prob(key, x)))


@broken_case("pairing|upper")
def reused_key():
    return DensityCase(ReusedKey(noisy_vae()), p.wide_normal())


class ExactBesideNoisy(taut.AbstractDensity):
    """The true density at a sample, beside a noisy score: unbiased on either side."""

    density: taut.AbstractDensity
    exact = False
    reparameterised = False

    def sample_and_log_prob(self, key):
        x = self.density.sample(key)
        return x, p.gaussian_log_z(x)

    def log_prob(self, key, x):
        return self.density.log_prob(key, x)


@broken_case("pairing")
def exact_sample_beside_noisy_score():
    return DensityCase(ExactBesideNoisy(noisy_vae()), p.wide_normal())


class BetterScore(taut.AbstractDensity):
    """Averages in `log_prob` alone."""

    density: taut.AbstractDensity
    exact = False
    reparameterised = False

    def sample_and_log_prob(self, key):
        return self.density.sample_and_log_prob(key)

    def log_prob(self, key, x):
        return taut.Averaged(self.density, 8).log_prob(key, x)


@broken_case("pairing")
def averaged_score_beside_plain_sample():
    return DensityCase(BetterScore(noisy_vae()), p.wide_normal())


class Broken(taut.AbstractSampler):
    """Importance sampling; what follows breaks one line of its conditional run."""

    proposal: taut.AbstractDensity
    num: int

    def run(self, key, target):
        return taut.Importance(self.proposal, self.num).run(key, target)

    def run_conditional(self, key, target, z, log_target):
        rkey, qkey = jr.split(key)
        log_q = self.proposal.log_prob(qkey, z)
        return self.run(rkey, target).retain(0, z, log_target, log_target + log_q)


@broken_case("upper")
def wrong_sign():
    return SamplerCase(
        Broken(p.gaussian_guide(), 3),
        p.gaussian_target(),
        p.gaussian_posterior(),
        p.gaussian_log_z(),
    )


class Redrawn(taut.AbstractSampler):
    """Scores the given draw again instead of using the estimate that came with it."""

    proposal: taut.AbstractDensity
    num: int

    def run(self, key, target):
        return taut.Importance(self.proposal, self.num).run(key, target)

    def run_conditional(self, key, target, z, log_target):
        rkey, tkey = jr.split(key)
        again = target.log_prob(tkey, z)
        return taut.Importance(self.proposal, self.num).run_conditional(
            rkey, target, z, again
        )


@broken_case("upper")
def redrawn_estimate():
    joint = taut.Joint(noisy_prior(), p.finite_rows())
    x = jnp.array(1)
    energies = p.Table(jnp.array([1.5, -1.0, 0.8, 0.1]))
    target = taut.Tilted(p.finite_proposal(), energies)
    prior = p.enumerate_induced(target, p.finite_proposal(), 2)
    log_likelihood = p.finite_rows().log_density_at(x)
    return SamplerCase(
        Redrawn(p.other_proposal(), 2),
        taut.Conditioned(joint, x),
        p.Rejection(joint, x, jnp.max(log_likelihood)),
        jnp.log(jnp.sum(prior * jnp.exp(log_likelihood))),
    )


class NoLogK(taut.AbstractDensity):
    """A sum over the particles where their average belongs, in one direction."""

    target: taut.AbstractTarget
    sampler: taut.AbstractSampler
    exact = False
    reparameterised = False

    def sample_and_log_prob(self, key):
        return taut.Induced(self.target, self.sampler).sample_and_log_prob(key)

    def log_prob(self, key, x):
        tkey, rkey = jr.split(key)
        log_target = self.target.log_prob(tkey, x)
        particles = self.sampler.run_conditional(rkey, self.target, x, log_target)
        return log_target - jax.nn.logsumexp(particles.log_weight)


@broken_case("lower")
def missing_log_k():
    sampler = taut.Importance(p.other_proposal(), 3)
    return DensityCase(NoLogK(p.finite_target(), sampler), p.uniform_states())
