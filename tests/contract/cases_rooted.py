"""Refined hierarchical draws, draws of dependent flows, and H-IWAE as a density."""

import functools

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.stats import multivariate_normal

import taut

from . import problems as p
from .cases_samplers import Reverse, gaussian_case, hierarchical, near, stacked, unlike
from .registry import DensityCase, density_case, sampler_case, thorough


def moved(q):
    """A short annealed run from `q`."""
    return taut.Annealed(q, taut.Langevin(0.15), jnp.array([0.5, 1.0]))


@sampler_case
def hierarchical_refined():
    """Every draw of H-IWAE refined by Langevin moves."""
    return gaussian_case(taut.HierarchicalRefined(hierarchical(), moved))


@sampler_case
@thorough
def hierarchical_refined_by_branch():
    """Unequal constant weights, a reverse model that is told the branch, MALA."""
    weights = taut.FixedWeights((0.2, 0.5, 0.3))
    base = hierarchical(weights, reverse=taut.ByBranch(Reverse()))
    kernel = taut.MALA(0.3)
    refine = lambda q: taut.Annealed(q, kernel, jnp.array([0.5, 1.0]), 1)
    return gaussian_case(taut.HierarchicalRefined(base, refine))


@sampler_case
@thorough
def hierarchical_refined_by_nothing():
    """Importance in place of the annealed run: H-IWAE itself."""
    refine = functools.partial(taut.Importance, num=2)
    return gaussian_case(taut.HierarchicalRefined(hierarchical(), refine))


def affine(q):
    """A Gaussian as a flow."""
    from flowjax.bijections import Affine

    return taut.FlowJAX(Affine(q.loc, jnp.exp(q.log_scale)))


@sampler_case
def dependent_flows():
    """J-IWAE with flows: K of them, made from correlated noise."""
    flows = eqx.filter_vmap(affine)(stacked(*unlike()))
    factor = jnp.array([[1.0, 0.0, 0.0], [-0.7, 0.8, 0.0], [-0.4, -0.5, 0.6]])
    proposals = taut.Correlated(flows, factor)
    return gaussian_case(taut.MultipleImportance(proposals, taut.PowerWeights(1.0)))


def swap(condition):
    return jnp.flip(condition)


@density_case
def flow():
    """A correlated Gaussian, shifted by its condition, as a flow."""
    from flowjax.bijections import AdditiveCondition, Chain, TriangularAffine

    lower = jnp.array([[0.9, 0.0], [-0.5, 1.1]])
    shift, condition = jnp.array([0.2, -0.1]), jnp.array([0.3, 0.1])
    affine = TriangularAffine(shift, lower)
    bijection = Chain([affine, AdditiveCondition(swap, (2,), (2,))])
    mean = shift + swap(condition)
    known = lambda x: multivariate_normal.logpdf(x, mean, lower @ lower.T)
    return DensityCase(taut.FlowJAX(bijection, condition), p.wide_normal(), known)


@density_case
@thorough
def hierarchical_as_a_density():
    """The draw that H-IWAE selects, as a density with both ends."""
    density = taut.Induced(p.gaussian_target(), hierarchical(taut.PowerWeights(1.0)))
    posterior = p.gaussian_posterior()
    return DensityCase(density, taut.Normal(posterior.loc, posterior.log_scale + 0.3))


@density_case
@thorough
def latent_variable_model_with_a_hierarchy():
    """A model whose latents H-IWAE proposes, as a density over data."""

    def guide(x):
        q = near(0.0, 1.1)
        shift = (x - p.observation()) / (1 + p.NOISE)
        branch = lambda root: stacked(
            *(taut.Normal(q.loc + shift + s * root, q.log_scale) for s in (0.1, -0.1))
        )
        root = taut.Normal(jnp.zeros(2), jnp.zeros(2))
        reverse = lambda z: taut.Normal(0.1 * z, jnp.full(2, 0.05))
        return taut.Hierarchical(root, branch, reverse, 2, taut.PowerWeights(1.0))

    density = taut.Marginal(p.gaussian_joint(), guide)
    return DensityCase(density, p.wide_normal(), p.gaussian_log_z)
