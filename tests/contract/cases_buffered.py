"""What buffered stochastic variational inference adds: a law, and whole models."""

import jax.numpy as jnp

import taut

from . import problems as p
from .registry import DensityCase, density_case


@density_case
def log_variance_normal():
    """The law of `Normal`, by other numbers."""
    loc, log_variance = jnp.array([0.3]), jnp.array([-0.4])
    density = taut.LogVarianceNormal(loc, log_variance)
    same = taut.Normal(loc, log_variance / 2)
    reference = taut.Normal(jnp.zeros(1), jnp.full(1, 0.3))
    return DensityCase(density, reference, same.log_density)


@density_case
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
