"""Annealed chains, their kernels, and sequential Monte Carlo."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

import taut
from taut import schedules

from . import problems as p
from .registry import DensityCase, SamplerCase, density_case, sampler_case, thorough


def gaussian_case(sampler):
    return SamplerCase(
        sampler, p.gaussian_target(), p.gaussian_posterior(), p.gaussian_log_z()
    )


def annealed(kernel, betas, num=2, **kwargs):
    return gaussian_case(
        taut.Annealed(p.gaussian_guide(), kernel, betas, num, **kwargs)
    )


@sampler_case
def annealed_hmc():
    return annealed(taut.HMC(jnp.array([0.4, 0.3]), 2), jnp.array([0.4, 1.0]))


@sampler_case
@thorough
def annealed_hmc_in_other_units():
    return annealed(taut.HMC(0.8, 2, jnp.array([0.3, 0.8])), schedules.linear(2))


@sampler_case
def annealed_mala_alone():
    return annealed(taut.MALA(0.4), schedules.sigmoid(2), 1, last_move=False)


@sampler_case
def annealed_random_walk():
    return annealed(taut.RandomWalk(0.5), schedules.linear(2))


@sampler_case
def annealed_curved():
    return annealed(taut.Curved(0.6), schedules.linear(2))


@sampler_case
@thorough
def annealed_langevin():
    return annealed(taut.Langevin(0.3), schedules.linear(2))


@sampler_case
@thorough
def metropolis_at_the_target():
    """MH-HMC: everything at the target."""
    return annealed(taut.HMC(0.4, 2), schedules.constant(2))


@sampler_case
def annealed_blackjax():
    import blackjax

    kernel = taut.BlackJAX(blackjax.mala, {"step_size": jnp.asarray(0.1)})
    return annealed(kernel, schedules.linear(2), 1)


def sequential(kernel, **kwargs):
    return gaussian_case(
        taut.SMC(p.gaussian_guide(), kernel, schedules.linear(3), 3, **kwargs)
    )


@sampler_case
def smc_systematic():
    return sequential(taut.HMC(0.4, 1))


@sampler_case
@thorough
def smc_multinomial():
    return sequential(taut.RandomWalk(0.4), resampling=taut.Multinomial())


@sampler_case
@thorough
def smc_when_few_count():
    return sequential(taut.Langevin(0.2), threshold=0.9, last_move=False)


# A chain of finite states, three steps long, seen through coins.
class Coins(eqx.Module):
    """state -> one coin."""

    logits: Array

    def __call__(self, z):
        return taut.Bernoulli(self.logits[z][None])


class Blind(eqx.Module):
    """Proposals that ignore the data."""

    density: taut.AbstractDensity

    def __call__(self, *_):
        return self.density


class Tempered(eqx.Module):
    """The transition, nearly, and blind to the data."""

    rows: p.Rows

    def __call__(self, z, observed):
        return taut.Categorical(0.8 * self.rows.logits[z])


def finite_chain():
    coins = Coins(jnp.array([-1.0, 0.0, 1.0, 0.5]))
    return taut.StateSpace(p.finite_proposal(), p.finite_rows(), coins, 3)


def finite_filter(**kwargs):
    first, later = Blind(p.other_proposal()), Tempered(p.finite_rows())
    return taut.ParticleFilter(first, later, 3, **kwargs)


def finite_chain_case(sampler):
    """Its truth by enumeration; `forward_algorithm` in the tests agrees."""
    target = taut.Conditioned(finite_chain(), jnp.array([[1.0], [0.0], [1.0]]))
    grid = jnp.meshgrid(*[jnp.arange(p.STATES)] * 3, indexing="ij")
    paths = jnp.stack(grid, -1).reshape(-1, 3)
    logits = jax.jit(jax.vmap(lambda z: target.log_prob(jr.key(0), z)))(paths)

    def posterior(key):
        i = jr.categorical(key, logits)
        return paths[i], logits[i]

    return SamplerCase(sampler, target, posterior, jax.nn.logsumexp(logits))


@sampler_case
def filter_of_states():
    return finite_chain_case(finite_filter())


@sampler_case
@thorough
def filter_when_few_count():
    return finite_chain_case(
        finite_filter(resampling=taut.Multinomial(), threshold=0.8)
    )


@density_case
def state_space():
    """Two steps."""
    whole, steps = finite_chain(), 2
    uniform = taut.StateSpace(
        p.uniform_states(), p.uniform_rows(), Coins(jnp.zeros(p.STATES)), steps
    )
    density = taut.StateSpace(whole.initial, whole.transition, whole.emission, steps)
    return DensityCase(density, uniform)


@density_case
@thorough
def filtered():
    """A density over sequences of coins, from both sides."""
    density = taut.Marginal(finite_chain(), Blind(finite_filter()))
    return DensityCase(density, taut.Bernoulli(jnp.zeros((3, 1))))


# z' given z is N(0.9 z, 0.5), y given z is N(z, 0.3).
class Scaled(eqx.Module):
    """z -> N(rate z, variance)."""

    rate: float = eqx.field(static=True)
    variance: float = eqx.field(static=True)

    def __call__(self, z):
        return taut.Normal(self.rate * z, jnp.full_like(z, jnp.log(self.variance) / 2))


class Nearly(eqx.Module):
    """Nearly the best proposal: 1.2 times its variance, a little off."""

    def __call__(self, z, observed):
        return near(0.9 * z, 0.5, observed)


class NearlyFirst(eqx.Module):
    def __call__(self, observed):
        return near(jnp.zeros_like(observed), 1.0, observed)


def near(loc, variance, observed):
    variance_given = 1 / (1 / variance + 1 / 0.3)
    loc = variance_given * (loc / variance + observed / 0.3) + 0.1
    return taut.Normal(loc, jnp.full_like(loc, jnp.log(1.2 * variance_given) / 2))


def kalman_model():
    first = taut.Normal(jnp.zeros(()), jnp.zeros(()))
    return taut.StateSpace(first, Scaled(0.9, 0.5), Scaled(1.0, 0.3), 3)


def kalman_observations():
    return jnp.array([0.5, -0.3, 0.8])


@sampler_case
@thorough
def filter_of_kalman():
    """The joint of states and observations is one Gaussian."""
    model, y = kalman_model(), kalman_observations()
    target = taut.Conditioned(model, y)
    log_joint = lambda z: target.log_prob(jr.key(0), z)
    precision = -jax.hessian(log_joint)(jnp.zeros(3))
    mean = jnp.linalg.solve(precision, jax.grad(log_joint)(jnp.zeros(3)))
    cov = jnp.linalg.inv(precision)
    log_det = jnp.linalg.slogdet(2 * jnp.pi * cov)[1]

    def posterior(key):
        z = mean + jnp.linalg.cholesky(cov) @ jr.normal(key, (3,))
        return z, log_joint(z)

    sampler = taut.ParticleFilter(NearlyFirst(), Nearly(), 3)
    return SamplerCase(sampler, target, posterior, log_joint(mean) + log_det / 2)


class Well(eqx.Module):
    """An energy with two wells."""

    def __call__(self, x):
        return jnp.sum(0.15 * (x**2 - 1) ** 2 - 0.3 * x)


@density_case
def induced_by_langevin():
    """A generative model: an energy, and Langevin moves to it."""
    base = taut.Normal(jnp.zeros(1), jnp.zeros(1))
    target = taut.Tilted(base, Well())
    sampler = taut.Annealed(base, taut.Langevin(0.3), schedules.linear(3), 2)
    return DensityCase(taut.Induced(target, sampler), p.wide_normal(1, 1.3))
