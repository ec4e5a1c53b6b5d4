"""Densities made to be hard, with exact draws."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as npd
from scipy.integrate import quad

from ..problem import Problem
from .grid import Grid


def funnel() -> Problem:
    """v ~ N(0, 3), nine x ~ N(0, exp(v/2)) (Neal, 2003)."""

    def log_joint(p):
        prior = npd.Normal(0.0, 3.0).log_prob(p["v"])
        return prior + jnp.sum(npd.Normal(0.0, jnp.exp(p["v"] / 2)).log_prob(p["x"]))

    def exact(key):
        vkey, xkey = jr.split(key)
        v = 3.0 * jr.normal(vkey)
        return {"v": v, "x": jnp.exp(v / 2) * jr.normal(xkey, (9,))}

    return Problem(
        log_joint,
        {"v": 0.0, "x": jnp.zeros(9)},
        exact=exact,
        log_z=0.0,
        how="normalised by construction",
    )


def gaussian_mixture() -> Problem:
    """Forty unit-weight Gaussians in the plane, means uniform in [-40, 40]^2."""
    means = np.random.RandomState(0).uniform(-40, 40, (40, 2))
    scale = float(np.log1p(np.exp(1.0)))

    def log_joint(p):
        each = npd.Normal(jnp.asarray(means), scale).log_prob(p["x"]).sum(-1)
        return jax.nn.logsumexp(each) - jnp.log(40.0)

    def exact(key):
        ikey, nkey = jr.split(key)
        mean = jnp.asarray(means)[jr.randint(ikey, (), 0, 40)]
        return {"x": mean + scale * jr.normal(nkey, (2,))}

    return Problem(
        log_joint,
        {"x": jnp.zeros(2)},
        exact=exact,
        log_z=0.0,
        how="normalised by construction",
    )


def student_mixture() -> Problem:
    """Ten Students with two degrees of freedom, means uniform in [-10, 10]^2."""
    means = np.random.RandomState(1).uniform(-10, 10, (10, 2))

    def log_joint(p):
        each = npd.StudentT(2.0, jnp.asarray(means), 1.0).log_prob(p["x"]).sum(-1)
        return jax.nn.logsumexp(each) - jnp.log(10.0)

    def exact(key):
        ikey, nkey = jr.split(key)
        mean = jnp.asarray(means)[jr.randint(ikey, (), 0, 10)]
        return {"x": mean + jr.t(nkey, 2.0, (2,))}

    return Problem(
        log_joint,
        {"x": jnp.zeros(2)},
        exact=exact,
        log_z=0.0,
        how="normalised by construction",
    )


def many_well_pair() -> Problem:
    """One pair of wells."""
    return _many_well(1)


def many_well() -> Problem:
    """Sixteen pairs of wells in 32 dimensions: 65,536 modes."""
    return _many_well(16)


def _many_well(pairs: int) -> Problem:
    """`-x^4 + 6 x^2 + x/2 - y^2/2` for each pair."""
    well = lambda x: -(x**4) + 6 * x**2 + x / 2
    integral = quad(lambda x: np.exp(well(x)), -6, 6, epsabs=0, epsrel=1e-13, limit=400)
    log_z = pairs * (np.log(integral[0]) + 0.5 * np.log(2 * np.pi))
    points = np.linspace(-4.0, 4.0, 40_001)
    grid = Grid(points, well(points))

    def log_joint(p):
        return jnp.sum(well(p["x"])) - 0.5 * jnp.sum(p["y"] ** 2)

    def exact(key):
        xkey, ykey = jr.split(key)
        x = jax.vmap(grid.draw)(jr.split(xkey, pairs))
        return {"x": x, "y": jr.normal(ykey, (pairs,))}

    return Problem(
        log_joint,
        {"x": jnp.zeros(pairs), "y": jnp.zeros(pairs)},
        exact=exact,
        log_z=float(log_z),
        how="1-d quadrature to 13 digits; draws from a grid of 40,001 cells",
    )
