"""Hamiltonian importance sampling, bare, over a VAE and as a prior."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

import taut

from . import problems as p
from .cases_densities import line
from .registry import DensityCase, density_case, thorough


class Bend(eqx.Module):
    """The energy `curvature |x|^2 / 2 + sin(x) ripple`."""

    curvature: Array
    ripple: Array

    def __call__(self, x):
        return jnp.sum(0.5 * self.curvature * x**2 + self.ripple * jnp.sin(x))


class LinearMomentum(eqx.Module):
    """x -> a Gaussian near the momentum's own law given the position."""

    gain: Array
    log_scale: Array

    def __call__(self, x):
        return taut.Normal(self.gain * x, jnp.broadcast_to(self.log_scale, x.shape))


def start_of(dim):
    return taut.Normal(jnp.zeros(dim), jnp.zeros(dim))


def flow_covariance(proposal, energy, step_size, alphas):
    """Of (momentum, position) at the end, where energy and proposal are quadratic."""
    flow = taut.Hamiltonian(proposal, energy, step_size, alphas).flow
    zero = jnp.zeros(proposal.shape)
    (mm, mx), (xm, xx) = jax.jacfwd(flow, (0, 1))(zero, zero)
    blocks = [[jnp.diag(b) for b in row] for row in ((mm, mx), (xm, xx))]
    (a, b), (c, d) = blocks
    return a**2 + b**2, a * c + b * d, c**2 + d**2


def quadratic():
    """A flow that is linear, with a momentum guide a little wider than it should be."""
    parts = start_of(2), Bend(jnp.array(1.5), jnp.array(0.0)), jnp.array([0.3, 0.5])
    alphas = jnp.array([0.9, 0.8, 0.95])
    mm, mx, xx = flow_covariance(*parts, alphas)
    guide = LinearMomentum(mx / xx, 0.5 * jnp.log(1.2 * (mm - mx**2 / xx)))
    return taut.HamiltonianImportance(*parts, alphas, guide), 0.5 * jnp.log(xx)


@density_case
def hamiltonian():
    """The pair of momentum and position, which is exact."""
    density = taut.Hamiltonian(
        start_of(1), Bend(jnp.array(1.0), jnp.array(0.5)), 0.3, jnp.array([0.9, 0.8])
    )
    wide = taut.Joint(line(), lambda m: line())
    return DensityCase(density, wide)


@density_case
def hamiltonian_importance():
    density, log_scale = quadratic()
    known = taut.Normal(jnp.zeros(2), log_scale).log_density
    return DensityCase(density, p.wide_normal(2, 1.0), known)


@density_case
@thorough
def hamiltonian_importance_bent():
    """Its density by quadrature over the momentum."""
    guide = LinearMomentum(jnp.array(-0.2), jnp.array(0.1))
    density = taut.HamiltonianImportance(
        start_of(1),
        Bend(jnp.array(1.0), jnp.array(0.5)),
        jnp.array([0.3]),
        jnp.array([0.9, 0.8]),
        guide,
    )
    grid = jnp.linspace(-6, 6, 121)
    log_joint = lambda x, m: density.hamiltonian.log_prob(jr.key(0), (m[None], x))

    def known(x):
        logs = jax.vmap(lambda m: log_joint(x, m))(grid)
        return jax.nn.logsumexp(logs) + jnp.log(grid[1] - grid[0])

    return DensityCase(density, line(1.2), known)


@density_case
@thorough
def hamiltonian_importance_vae():
    """A VAE is the proposal."""
    vae = taut.Marginal(p.gaussian_joint(1), taut.Amortized(p.LinearGuide(), 2))
    guide = LinearMomentum(jnp.array(0.0), jnp.array(0.0))
    density = taut.HamiltonianImportance(
        vae, Bend(jnp.array(0.5), jnp.array(0.3)), 0.2, jnp.array([0.95, 0.9]), guide
    )
    return DensityCase(density, line())


@density_case
def hamiltonian_importance_prior():
    """A VAE whose prior is a Gaussian in disguise."""
    prior, log_scale = quadratic()
    variance = jnp.exp(2 * log_scale)
    spread = 1.2 * p.NOISE * variance / (p.NOISE + variance)
    near = lambda x: taut.Normal(
        x * variance / (p.NOISE + variance) + 0.05, 0.5 * jnp.log(spread)
    )
    density = taut.Marginal(taut.Joint(prior, p.Linear()), taut.Amortized(near, 2))
    known = taut.Normal(jnp.zeros(2), 0.5 * jnp.log(variance + p.NOISE)).log_density
    return DensityCase(density, p.wide_normal(2, 1.2), known)
