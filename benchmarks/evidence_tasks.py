"""Small evidence problems in the form that rivals want: a prior and a likelihood."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jax.scipy.stats import norm

from taut.evidence import references


@dataclass(frozen=True)
class Task:
    """Over real vectors: where the parameter is positive, over its log."""

    dim: int
    from_cube: Callable[[Any], Any]  # uniform numbers to a draw of the prior
    log_prior: Callable[[Any], Any]
    log_likelihood: Callable[[Any], Any]
    log_z: float


def _normal(dim, scale, log_likelihood, log_z) -> Task:
    return Task(
        dim,
        lambda u: scale * ndtri(u),
        lambda z: jnp.sum(norm.logpdf(z, 0.0, scale)),
        log_likelihood,
        log_z,
    )


def _box(half, log_density, log_z) -> Task:
    """A density without a prior: a uniform one over a box that holds it all."""
    half = np.asarray(half, float)
    volume = float(np.sum(np.log(2 * half)))

    def log_prior(z):
        return jnp.where(jnp.all(jnp.abs(z) <= half), -volume, -jnp.inf)

    likelihood = lambda z: log_density(z) + volume
    return Task(len(half), lambda u: half * (2 * u - 1), log_prior, likelihood, log_z)


def linear_regression() -> Task:
    problem = references.load("linear-regression")
    x, y = problem.data
    likelihood = lambda w: jnp.sum(norm.logpdf(y, x @ w, 0.8))
    return _normal(5, 1.5, likelihood, problem.log_z)


def eight_schools() -> Task:
    """mu, log tau, eta; the density of log tau has its Jacobian."""
    problem = references.load("eight-schools")
    effects, errors = problem.data

    def from_cube(u):
        log_tau = jnp.log(5.0 * jnp.tan(0.5 * jnp.pi * u[1]))
        return jnp.concatenate([5 * ndtri(u[:1]), log_tau[None], ndtri(u[2:])])

    def log_prior(z):
        tau = jnp.exp(z[1])
        half_cauchy = jnp.log(2 / (jnp.pi * 5)) - jnp.log1p((tau / 5) ** 2) + z[1]
        rest = norm.logpdf(z[0], 0.0, 5.0) + jnp.sum(norm.logpdf(z[2:]))
        return rest + half_cauchy

    def log_likelihood(z):
        theta = z[0] + jnp.exp(z[1]) * z[2:]
        return jnp.sum(norm.logpdf(effects, theta, errors))

    return Task(10, from_cube, log_prior, log_likelihood, problem.log_z)


def many_well_pair() -> Task:
    problem = references.load("many-well-pair")
    density = lambda z: problem.log_joint({"x": z[:1], "y": z[1:]})
    return _box([4.0, 8.0], density, problem.log_z)


def gaussian_mixture() -> Task:
    problem = references.load("gaussian-mixture")
    density = lambda z: problem.log_joint({"x": z})
    return _box([50.0, 50.0], density, problem.log_z)


def ionosphere() -> Task:
    """Against the middle of our own bracket."""
    problem = references.load("ionosphere")
    x, y = problem.data

    def log_likelihood(w):
        logits = jnp.asarray(x) @ w
        return jnp.sum(jnp.asarray(y) * logits - jax.nn.softplus(logits))

    log_z = references.table()["ionosphere"]["log_z"]
    return _normal(x.shape[1], 1.0, log_likelihood, log_z)


TASKS: dict[str, Callable[[], Task]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        linear_regression,
        eight_schools,
        many_well_pair,
        gaussian_mixture,
        ionosphere,
    )
}
