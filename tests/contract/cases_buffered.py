"""What buffered stochastic variational inference adds: a law, and whole models."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr

import taut

from . import problems as p
from .registry import DensityCase, SamplerCase, density_case, sampler_case, thorough


@density_case
def log_variance_normal():
    """The law of `Normal`, by other numbers."""
    loc, log_variance = jnp.array([0.3]), jnp.array([-0.4])
    density = taut.LogVarianceNormal(loc, log_variance)
    same = taut.Normal(loc, log_variance / 2)
    reference = taut.Normal(jnp.zeros(1), jnp.full(1, 0.3))
    return DensityCase(density, reference, same.log_density)


@density_case
@thorough
def buffered_over_an_estimated_prior():
    """BSVI in a model whose prior is a self-normalised density: the estimate that
    moves a proposal is not the one that weighs.
    """
    energy = lambda z: 0.3 * jnp.sum((z - 0.5) ** 2)
    prior = taut.SelfNormalized(taut.StandardNormal((1,)), energy, 2)
    joint = taut.Joint(prior, p.Linear())

    def sampler(x):
        q = p.LinearGuide()(x)
        start = taut.LogVarianceNormal(q.loc, 2 * q.log_scale)
        return taut.Refined(start, 0.02, 2, momentum=0.5, clip=taut.Clip(2.0))

    return DensityCase(
        taut.Marginal(joint, sampler), taut.Normal(jnp.full(1, 0.2), jnp.full(1, 0.3))
    )


@density_case
def independent():
    """Two Gaussians over a pair."""
    first = taut.Normal(jnp.array([0.3]), jnp.array([-0.2]))
    second = taut.LogVarianceNormal(jnp.array([-0.2]), jnp.array([0.1]))
    wide = taut.Normal(jnp.zeros(1), jnp.full(1, 0.4))
    density = taut.Independent([first, second])
    known = lambda x: first.log_density(x[0]) + second.log_density(x[1])
    return DensityCase(density, taut.Independent([wide, wide]), known)


class Lowest(eqx.Module):
    """The observation looks at the lower of two layers."""

    def __call__(self, z):
        return p.Linear()(z[1])


@density_case
@thorough
def buffered_over_two_layers():
    """BSVI in a hierarchical VAE: the guides of both layers move, and its evidence is
    known, since everything is Gaussian.
    """
    layers = taut.Joint(taut.StandardNormal((1,)), p.Linear())  # (upper, lower)
    model = taut.Joint(layers, Lowest())

    def sampler(x):
        # Posterior variances: 1/3 above, 5/24 below; its means: 2/3 x and 5/6 x.
        spread = lambda variance: jnp.full(1, jnp.log(1.2 * variance))
        upper = taut.LogVarianceNormal(2 / 3 * x, spread(1 / 3))
        lower = taut.LogVarianceNormal(5 / 6 * x + 0.1, spread(5 / 24))
        start = taut.Independent([upper, lower])
        return taut.Refined(start, 0.02, 2, momentum=0.5, clip=taut.Clip(2.0))

    evidence = taut.Normal(jnp.zeros(1), jnp.full(1, 0.5 * jnp.log(1.5)))
    wide = taut.Normal(jnp.zeros(1), jnp.full(1, 0.4))
    return DensityCase(taut.Marginal(model, sampler), wide, evidence.log_density)


def moved_by(update, step_size, **rules):
    """Two steps from near the posterior of the linear-Gaussian model."""
    q = p.gaussian_posterior()
    start = taut.LogVarianceNormal(q.loc + 0.3, 2 * q.log_scale + 0.1)
    sampler = taut.Refined(start, step_size, 2, update=update, **rules)
    return SamplerCase(sampler, p.gaussian_target(), q, p.gaussian_log_z())


@sampler_case
@thorough
def refined_natural():
    """Steps on the natural parameters."""
    update = taut.NaturalAscent(taut.LogVarianceNormal)
    return moved_by(update, 0.05, clip=taut.Clip(3.0))


@sampler_case
@thorough
def refined_learned():
    """A network says where steps go; gradients flow through them."""
    net = eqx.nn.MLP(8, 8, 4, 1, key=jr.key(3))
    return moved_by(taut.LearnedUpdate(net), 0.2, draw=taut.unrolled)


@sampler_case
@thorough
def refined_by_a_closed_divergence():
    """Steps follow the divergence from the prior, not an estimate of it."""
    return moved_by(taut.Ascent(), 0.05, divergence=taut.gaussian_divergence)


@sampler_case
@thorough
def refined_natural_momentum():
    update = taut.NaturalAscent(taut.LogVarianceNormal)
    return moved_by(update, jnp.array([0.05, 0.03]), momentum=0.5, double=True)
