"""Unlike, dependent, hierarchical and refined proposals of a linear-Gaussian model."""

import functools

import equinox as eqx
import jax.numpy as jnp

import taut
from taut.recipes import SemiImplicit

from . import problems as p
from .registry import DensityCase, SamplerCase, density_case, sampler_case, thorough


def gaussian_case(sampler):
    return SamplerCase(
        sampler, p.gaussian_target(), p.gaussian_posterior(), p.gaussian_log_z()
    )


def near(shift, scale, log_scale=0.0):
    """A Gaussian near the posterior, with `scale` times its variance."""
    q = p.gaussian_posterior()
    return taut.Normal(q.loc + shift, q.log_scale + 0.5 * jnp.log(scale) + log_scale)


def stacked(*densities):
    locs = jnp.stack([q.loc for q in densities])
    log_scales = jnp.stack([q.log_scale for q in densities])
    return eqx.filter_vmap(taut.Normal)(locs, log_scales)


def unlike():
    return near(0.2, 0.9), near(-0.15, 1.2), near(jnp.array([0.1, -0.3]), 1.3)


class Gate(eqx.Module):
    """Weights that depend on the point (and, for roots, on the root)."""

    matrix: jnp.ndarray

    def __call__(self, z, root=0.0):
        return self.matrix @ jnp.tanh(z + root)


def gate(num=3):
    return Gate(jnp.linspace(-1.0, 1.0, 2 * num).reshape(num, 2))


@sampler_case
def companions():
    proposal = near(0.1, 1.2)
    companion = lambda z: taut.Normal(
        proposal.loc - 0.2 * (z - proposal.loc), proposal.log_scale + 0.05
    )
    return gaussian_case(taut.Companions(proposal, companion, 3))


@sampler_case
@thorough
def multiple_equal():
    return gaussian_case(taut.MultipleImportance(unlike()))


@sampler_case
def multiple_balance():
    return gaussian_case(taut.MultipleImportance(unlike(), taut.PowerWeights(1.0)))


@sampler_case
@thorough
def multiple_cubed():
    return gaussian_case(taut.MultipleImportance(unlike(), taut.PowerWeights(3.0)))


@sampler_case
@thorough
def multiple_network():
    return gaussian_case(taut.MultipleImportance(unlike(), taut.NetworkWeights(gate())))


@sampler_case
@thorough
def multiple_estimated():
    """Proposals of which one is only estimated: constant weights."""
    proposals = (near(0.1, 1.1), semi_implicit())
    weights = taut.FixedWeights((0.6, 0.4))
    return gaussian_case(taut.MultipleImportance(proposals, weights))


def semi_implicit():
    """A hierarchical guide: exact would be a Gaussian, 1.2 times the variance."""
    q = p.gaussian_posterior()
    spread = 0.5 * jnp.log(0.6) + q.log_scale
    joint = taut.Joint(
        taut.Normal(q.loc, spread), lambda root: taut.Normal(root, spread)
    )
    back = lambda z: taut.Importance(
        taut.Normal((q.loc + z) / 2, 0.5 * jnp.log(0.33) + q.log_scale), 2
    )
    return taut.Marginal(joint, back)


def correlated():
    factor = jnp.array([[1.0, 0.0, 0.0], [-0.7, 0.8, 0.0], [-0.4, -0.5, 0.6]])
    return taut.Correlated(stacked(*unlike()), factor)


@sampler_case
@thorough
def dependent_equal():
    """J-IWAE."""
    return gaussian_case(taut.MultipleImportance(correlated()))


@sampler_case
def dependent_power():
    return gaussian_case(taut.MultipleImportance(correlated(), taut.PowerWeights(2.0)))


@sampler_case
def antithetic():
    return gaussian_case(taut.MultipleImportance(taut.Antithetic(near(0.1, 1.2), 2)))


class Branches(eqx.Module):
    """root -> K Gaussians, stacked."""

    num: int = eqx.field(static=True)

    def __call__(self, root):
        q = p.gaussian_posterior()
        slope = jnp.linspace(-0.3, 0.3, self.num)[:, None]
        shift = jnp.linspace(-0.1, 0.1, self.num)[:, None]
        log_scale = 0.5 * jnp.log(jnp.linspace(0.8, 1.1, self.num))[:, None]
        spread = jnp.exp(q.log_scale)
        return eqx.filter_vmap(taut.Normal)(
            q.loc[None] + spread[None] * (slope * root[None] + shift),
            q.log_scale[None] + log_scale,
        )


class Reverse(eqx.Module):
    """z -> the root."""

    def __call__(self, z, j=1):
        slope = 0.25 * (j - 1)
        return taut.Normal(slope * z, jnp.full_like(z, -0.03))


def hierarchical(weights=taut.EqualWeights(), *, reverse=Reverse(), **kwargs):  # noqa: B008
    root = taut.Normal(jnp.zeros(2), jnp.zeros(2))
    return taut.Hierarchical(root, Branches(3), reverse, 3, weights, **kwargs)


@sampler_case
def hierarchical_power_0():
    return gaussian_case(hierarchical(taut.PowerWeights(0.0), draw=taut.root_dreg))


@sampler_case
def hierarchical_power_1():
    return gaussian_case(hierarchical(taut.PowerWeights(1.0)))


@sampler_case
def hierarchical_power_3():
    return gaussian_case(hierarchical(taut.PowerWeights(3.0)))


@sampler_case
def hierarchical_network():
    return gaussian_case(hierarchical(taut.NetworkWeights(gate())))


@sampler_case
@thorough
def hierarchical_by_branch():
    weights = taut.FixedWeights((0.2, 0.5, 0.3))
    return gaussian_case(hierarchical(weights, reverse=taut.ByBranch(Reverse())))


@sampler_case
@thorough
def hierarchical_apart():
    """A root for every branch."""
    return gaussian_case(hierarchical(taut.PowerWeights(1.0), shared=False))


@sampler_case
@thorough
def hierarchical_apart_by_branch():
    return gaussian_case(hierarchical(reverse=taut.ByBranch(Reverse()), shared=False))


@sampler_case
@thorough
def hierarchical_estimated():
    """The reverse model is only estimated."""
    spread = jnp.full(2, 0.5 * jnp.log(0.5))
    inner = lambda u: taut.Normal(u, spread)
    back = lambda u: taut.Importance(taut.Normal(u / 2, spread - 0.3), 2)
    mixing = taut.Joint(taut.Normal(jnp.zeros(2), spread), inner)
    reverse = lambda z: taut.Marginal(mixing, back)
    return gaussian_case(hierarchical(reverse=reverse))


def markov():
    q = near(0.0, 1.1)
    away = lambda z: taut.Normal(q.loc - 0.3 * (z - q.loc), q.log_scale)
    return taut.Markov(away)


@sampler_case
def chained_markov():
    return gaussian_case(taut.Chained(near(0.1, 1.2), markov(), 3))


@sampler_case
@thorough
def chained_adaptive():
    """Each proposal is placed by all draws before it."""
    q = near(0.1, 1.2)

    def adapt(i, past):
        mean = jnp.sum(past, axis=0) / i
        return taut.Normal(0.7 * q.loc + 0.3 * mean, q.log_scale)

    weights = taut.SoftmaxWeights(jnp.array([0.0, 0.5, -0.5]))
    return gaussian_case(taut.Chained(q, adapt, 3, weights))


def refined(steps=3, **kwargs):
    return taut.Refined(near(0.35, 1.15), 0.02, steps, **kwargs)


@sampler_case
@thorough
def refined_dependent():
    return gaussian_case(refined())


@sampler_case
def refined_full():
    """Momentum, clipping, learned weights, a step size for each step."""
    sampler = taut.Refined(
        near(0.35, 1.15),
        jnp.array([0.03, 0.02, 0.01]),
        3,
        taut.SoftmaxWeights(jnp.array([-0.5, 0.0, 0.2, 0.4])),
        momentum=0.5,
        clip=taut.Clip(3.0),
    )
    return gaussian_case(sampler)


@sampler_case
@thorough
def refined_double():
    weights = taut.FixedWeights((0.1, 0.2, 0.3, 0.4))
    return gaussian_case(refined(weights=weights, double=True, draw=taut.unrolled))


@sampler_case
@thorough
def refined_last():
    """SVI."""
    return gaussian_case(refined(2, weights=taut.FixedWeights((0.0, 0.0, 1.0))))


@sampler_case
@thorough
def refined_resampled():
    draw = functools.partial(taut.resampled, indices=2)
    return gaussian_case(refined(2, momentum=0.5, draw=draw))


@density_case
def semi_implicit_density():
    """SIVI with its mixing held once: exact by convolution."""
    mixing = taut.Normal(jnp.array([0.3, -0.2]), jnp.full(2, 0.5 * jnp.log(0.3)))
    spread = jnp.full(2, 0.5 * jnp.log(0.7))
    density = SemiImplicit(mixing, lambda u: taut.Normal(u, spread), 3)
    known = taut.Normal(mixing.loc, jnp.zeros(2))
    return DensityCase(density, p.wide_normal(scale=1.5), known.log_density)
