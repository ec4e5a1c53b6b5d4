"""Distributions of other libraries."""

import jax.numpy as jnp
import numpyro.distributions as npd

import taut

from . import problems as p
from .registry import DensityCase, density_case, thorough


@density_case
def exact_numpyro():
    """A batch of Gaussians is one event."""
    loc, scale = jnp.array([0.3, -0.2]), jnp.array([0.8, 1.1])
    density = taut.Exact(npd.Normal(loc, scale))
    known = taut.Normal(loc, jnp.log(scale)).log_density
    return DensityCase(density, p.wide_normal(), known)


@density_case
@thorough
def exact_positive():
    density = taut.Exact(npd.Gamma(3.0, 1.5))
    known = lambda x: 3 * jnp.log(1.5) + 2 * jnp.log(x) - 1.5 * x - jnp.log(2.0)
    return DensityCase(density, taut.Exact(npd.LogNormal(0.6, 0.7)), known)


@density_case
@thorough
def exact_counts():
    density = taut.Exact(npd.Binomial(2, probs=jnp.array([0.3, 0.6])))
    probs = jnp.array([[0.49, 0.42, 0.09], [0.16, 0.48, 0.36]])
    known = lambda x: jnp.sum(jnp.log(probs[jnp.arange(2), x.astype(int)]))
    return DensityCase(density, taut.Exact(npd.Binomial(2, jnp.full(2, 0.5))), known)


@density_case
def exact_flowjax():
    import flowjax.distributions as fjd

    density = taut.Exact(fjd.Normal(jnp.array([0.3, -0.2]), jnp.array([0.8, 1.1])))
    known = taut.Normal(jnp.array([0.3, -0.2]), jnp.log(jnp.array([0.8, 1.1])))
    return DensityCase(density, p.wide_normal(), known.log_density)
