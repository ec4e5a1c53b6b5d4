"""Energy-inspired densities, pixels, two-dimensional targets, another scale."""

import itertools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

import taut
from taut.densities import synthetic
from taut.densities.truncated_rejection import log_closed_form

from . import problems as p
from .registry import DensityCase, SamplerCase, density_case, sampler_case, thorough


class Slope(eqx.Module):
    """The energy `slope x` of events of shape (1,)."""

    slope: Array

    def __call__(self, x):
        return self.slope * x[0]


def line(scale=1.4):
    return p.wide_normal(1, scale)


@density_case
def discretized_logistic():
    """Three levels, so that both edges carry weight."""
    loc, log_scale = jnp.array([0.4, 0.8]), jnp.array([-1.5, -0.7])
    density = taut.DiscretizedLogistic(loc, log_scale, levels=3)
    wide = taut.DiscretizedLogistic(jnp.full(2, 0.5), jnp.full(2, -1.0), levels=3)
    edges = jnp.array([-jnp.inf, 1 / 3, 2 / 3, jnp.inf])[:, None]
    below = 1 / (1 + jnp.exp(-(edges - loc) / jnp.exp(log_scale)))
    probs = jnp.diff(below, axis=0)
    known = lambda x: jnp.sum(jnp.log(probs[x.astype(int), jnp.arange(2)]))
    return DensityCase(density, wide, known)


# Self-normalised importance sampling.


def enumerate_snis(log_pi, energy, num):
    """The probabilities of the selected one of `num` states."""
    probs = jnp.zeros(p.STATES)
    for draws in itertools.product(range(p.STATES), repeat=num):
        states = jnp.array(draws)
        chance = jnp.exp(jnp.sum(log_pi[states]))
        probs = probs.at[states].add(chance * jax.nn.softmax(-energy[states]))
    return probs


def finite_snis(num=3):
    return taut.SelfNormalized(p.finite_proposal(), p.finite_energy(), num)


def finite_snis_probs(num=3):
    log_pi = jax.nn.log_softmax(p.finite_proposal().logits)
    return enumerate_snis(log_pi, p.finite_energy().values, num)


@density_case
def self_normalized():
    probs = finite_snis_probs()
    return DensityCase(finite_snis(), p.uniform_states(), lambda x: jnp.log(probs[x]))


@density_case
@thorough
def self_normalized_gaussian():
    """Its density by quadrature over the other point."""
    density = taut.SelfNormalized(line(1.0), Slope(jnp.array(1.0)), 2)
    grid = jnp.linspace(-8, 8, 241)
    log_pi = jax.scipy.stats.norm.logpdf(grid)

    def known(x):
        log_share = -x[0] - jnp.logaddexp(-x[0], -grid) + jnp.log(2)
        mean = jax.nn.logsumexp(log_pi + log_share) + jnp.log(grid[1] - grid[0])
        return jnp.sum(jax.scipy.stats.norm.logpdf(x)) + mean

    return DensityCase(density, taut.Normal(jnp.full(1, -0.5), jnp.zeros(1)), known)


@density_case
def self_normalized_vae():
    """A VAE is the proposal; its density is known by summing over its latent."""
    joint = taut.Joint(p.finite_proposal(), p.finite_rows())
    guide = lambda x: taut.Importance(p.other_proposal(), 2)
    vae = taut.Marginal(joint, guide)
    density = taut.SelfNormalized(vae, p.finite_energy(), 3)
    log_prior = jax.nn.log_softmax(joint.prior.logits)
    rows = jax.nn.log_softmax(joint.likelihood.logits, axis=-1)
    log_pi = jax.nn.logsumexp(log_prior[:, None] + rows, axis=0)
    probs = enumerate_snis(log_pi, density.energy.values, 3)
    return DensityCase(density, p.uniform_states(), lambda x: jnp.log(probs[x]))


@density_case
def self_normalized_twice():
    outer = p.Table(jnp.array([-0.5, 0.5, 0.3, -0.4]))
    density = taut.SelfNormalized(finite_snis(2), outer, 2)
    probs = enumerate_snis(jnp.log(finite_snis_probs(2)), outer.values, 2)
    return DensityCase(density, p.uniform_states(), lambda x: jnp.log(probs[x]))


def finite_vae(prior, probs):
    """A VAE with this prior over the states, and its density."""
    rows = p.finite_rows()
    guide = lambda x: taut.Importance(p.other_proposal(), 2)
    density = taut.Marginal(taut.Joint(prior, rows), guide)
    known = lambda x: jnp.log(probs @ jnp.exp(rows.log_density_at(x)))
    return DensityCase(density, p.uniform_states(), known)


@density_case
def self_normalized_prior():
    return finite_vae(finite_snis(), finite_snis_probs())


# Truncated rejection sampling.


def finite_rejection_probs(num):
    log_pi = jax.nn.log_softmax(p.finite_proposal().logits)
    log_accept = jax.nn.log_sigmoid(-p.finite_energy().values)
    rate = jnp.sum(jnp.exp(log_pi + log_accept))
    log_ratio = jax.vmap(lambda a: log_closed_form(a, rate, num))(log_accept)
    return jnp.exp(log_pi + log_ratio)


def rejection_case(density):
    """Of N(0, 1) with U(x) = x, so that the acceptance rate is 1/2."""
    known = lambda x: (
        jnp.sum(jax.scipy.stats.norm.logpdf(x))
        + log_closed_form(jax.nn.log_sigmoid(-x[0]), jnp.array(0.5), density.num)
    )
    return DensityCase(density, taut.Normal(jnp.full(1, -0.4), jnp.zeros(1)), known)


@density_case
def truncated_rejection():
    density = taut.TruncatedRejection(line(1.0), Slope(jnp.array(1.0)), 4)
    return rejection_case(density)


@density_case
def truncated_rejection_prior():
    prior = taut.TruncatedRejection(p.finite_proposal(), p.finite_energy(), 3)
    return finite_vae(prior, finite_rejection_probs(3))


@density_case
@thorough
def truncated_rejection_estimated():
    """The proposal itself is only estimated."""
    density = taut.TruncatedRejection(finite_snis(2), p.Table(jnp.arange(4.0) - 2), 3)
    return DensityCase(density, p.uniform_states())


@density_case
def indexed_truncated_rejection():
    density = taut.IndexedTruncatedRejection(line(1.0), Slope(jnp.array(1.0)), 3, 0.2)
    return rejection_case(density)


@sampler_case
def resampled():
    """The target of LARS, given the exact acceptance rate, integrates to one."""
    model = taut.Resampled(line(1.0), Slope(jnp.array(1.0)), 3)
    target = model.at(jnp.array(0.5))
    guide = taut.Normal(jnp.full(1, -0.4), jnp.zeros(1))
    return SamplerCase(
        taut.Importance(guide, 3),
        target,
        p.Grid(target, -7.0, 6.0, 261),
        jnp.array(0.0),
    )


@density_case
def semi_implicit_prior_and_guide():
    """Prior and guide are both mixtures over latents of their own."""
    half = 0.5 * jnp.log(0.5)
    mixture = lambda loc, variance: taut.Joint(
        taut.Normal(loc, jnp.full(2, half + 0.5 * jnp.log(variance))),
        lambda u: taut.Normal(u, jnp.full(2, half + 0.5 * jnp.log(variance))),
    )
    back = lambda loc, variance: (
        lambda z: taut.Importance(
            taut.Normal((loc + z) / 2, jnp.full(2, 0.5 * jnp.log(0.3 * variance))), 2
        )
    )
    zero, spread = jnp.zeros(2), 1.2 * p.NOISE / (1 + p.NOISE)
    prior = taut.Marginal(mixture(zero, 1.0), back(zero, 1.0))

    def guide(x):
        loc = x / (1 + p.NOISE) + 0.05
        return taut.Marginal(mixture(loc, spread), back(loc, spread))

    density = taut.Marginal(taut.Joint(prior, p.Linear()), taut.Amortized(guide, 2))
    return DensityCase(density, p.wide_normal(), p.gaussian_log_z)


# Two-dimensional targets.


def synthetic_case(density, loc, scale):
    reference = taut.Normal(jnp.full(2, loc), jnp.full(2, jnp.log(scale)))
    return DensityCase(density, reference)


@density_case
def nine_gaussians():
    return synthetic_case(synthetic.NineGaussians(0.09), 0.0, 1.0)


class Shaded(taut.AbstractExact[Array]):
    """A board whose squares get darker: `1/2 + u` along each side, `u` in [0, 1]."""

    board: synthetic.Checkerboard
    reparameterised: ClassVar[bool] = False

    def _within(self, x):
        side = (self.board.high - self.board.low) / 4
        square = jnp.floor((x - self.board.low) / side)
        return square, side, (x - self.board.low) / side - square

    def draw(self, key):
        dkey, ukey = jr.split(key)
        square, side, _ = self._within(self.board.draw(dkey))
        u = 0.5 * (jnp.sqrt(1 + 8 * jr.uniform(ukey, (2,))) - 1)
        return self.board.low + side * (square + u)

    def log_density(self, x):
        u = self._within(x)[2]
        return self.board.log_density(x) + jnp.sum(jnp.log(0.5 + u))


@density_case
def checkerboard():
    board = synthetic.Checkerboard(0.0, 1.0)
    return DensityCase(board, Shaded(board))


@density_case
def rings():
    return synthetic_case(synthetic.Rings(scale=0.2), 0.0, 1.0)


@density_case
def radial_rings():
    density = synthetic.RadialRings((0.8, 1.2), 0.25)
    return DensityCase(density, synthetic.Rings((0.8, 1.2), 0.3))


# Another scale.


@density_case
def transformed():
    """A self-normalised Gaussian, stretched: the change of variables on both sides."""
    base = taut.SelfNormalized(line(1.0), Slope(jnp.array(1.0)), 2)
    density = taut.Transformed(base, taut.Stretch(1.5))
    known = self_normalized_gaussian().log_density
    return DensityCase(
        density,
        taut.Normal(jnp.full(1, -0.75), jnp.full(1, jnp.log(1.5))),
        lambda x: known(x / 1.5) - jnp.log(1.5),
    )
