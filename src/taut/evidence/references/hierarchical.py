"""Hierarchical models that leave one or two dimensions to quadrature."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as npd
from numpyro.distributions import constraints
from scipy import stats

from ..problem import Problem
from .grid import Grid

_EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools() -> Problem:
    """mu ~ N(0, 5), tau ~ half-Cauchy(5) (Rubin, 1981)."""
    return _schools(
        npd.HalfCauchy(5.0), partial(stats.halfcauchy.logpdf, scale=5.0), 5.0
    )


def eight_schools_half_normal() -> Problem:
    """mu ~ N(0, 5), tau ~ half-normal(5)."""
    return _schools(npd.HalfNormal(5.0), partial(stats.halfnorm.logpdf, scale=5.0), 5.0)


def eight_schools_log_normal() -> Problem:
    """mu ~ N(0, 10), log tau ~ N(5, 1)."""
    prior = partial(stats.lognorm.logpdf, s=1.0, scale=np.exp(5.0))
    return _schools(npd.LogNormal(5.0, 1.0), prior, 10.0)


def _schools(
    tau_prior: npd.Distribution, log_prior: Callable, mu_scale: float
) -> Problem:
    """theta_j = mu + tau eta_j: another parameterisation, the same evidence."""

    def log_joint(p):
        prior = npd.Normal(0.0, mu_scale).log_prob(p["mu"])
        prior += tau_prior.log_prob(p["tau"])
        prior += jnp.sum(npd.Normal(0.0, 1.0).log_prob(p["eta"]))
        theta = p["mu"] + p["tau"] * p["eta"]
        return prior + jnp.sum(npd.Normal(theta, _ERRORS).log_prob(_EFFECTS))

    # Given tau, y ~ N(0, diag(errors^2 + tau^2) + mu_scale^2 1 1^T); over log tau.
    points = np.linspace(-30.0, 14.0, 40_001)
    tau = np.exp(points)
    variance = _ERRORS**2 + tau[:, None] ** 2
    precision = 1 / variance
    total = precision.sum(axis=1)
    centre = (precision * _EFFECTS).sum(axis=1)
    shrunk = 1 / mu_scale**2 + total
    square = (precision * _EFFECTS**2).sum(axis=1) - centre**2 / shrunk
    log_det = np.log(variance).sum(axis=1) + np.log(mu_scale**2 * shrunk)
    log_y = -0.5 * (8 * np.log(2 * np.pi) + log_det + square)
    grid = Grid(points, log_y + log_prior(tau) + points)

    def exact(key):
        tkey, mkey, ekey = jr.split(key, 3)
        tau = jnp.exp(grid.draw(tkey))
        precision = 1 / (_ERRORS**2 + tau**2)
        shrunk = 1 / mu_scale**2 + jnp.sum(precision)
        mu = jnp.sum(precision * _EFFECTS) / shrunk
        mu = mu + jr.normal(mkey) / jnp.sqrt(shrunk)
        # eta_j ~ N(0, 1), y_j - mu = tau eta_j + N(0, errors_j)
        wide = 1 + tau**2 / _ERRORS**2
        eta = tau * (_EFFECTS - mu) / _ERRORS**2 / wide
        return {"mu": mu, "tau": tau, "eta": eta + jr.normal(ekey, (8,)) / wide**0.5}

    return Problem(
        log_joint,
        {"mu": 0.0, "tau": 5.0, "eta": jnp.zeros(8)},
        {"tau": constraints.positive},
        exact=exact,
        data=(_EFFECTS, _ERRORS),
        log_z=grid.log_z,
        how="1-d quadrature over log tau, 40,001 points; the rest in closed form",
    )


# fmt: off
_BROWNIAN = np.array([
    0.21592641, 0.118771404, -0.07945447, 0.037677474, -0.27885845, -0.1484156,
    -0.3250906, -0.22957903, -0.44110894, -0.09830782, -0.8786016, -0.83736074,
    -0.7384849, -0.8939254, -0.7774566, -0.70238715, -0.87771565, -0.51853573,
    -0.6948214, -0.6202789,
])
# fmt: on
_SEEN = np.r_[0:10, 20:30]


def brownian_motion() -> Problem:
    """log sigma_i, log sigma_o ~ N(0, 2), thirty steps, twenty of them observed."""
    times = np.minimum.outer(np.arange(1, 31), np.arange(1, 31)).astype(float)
    seen = times[np.ix_(_SEEN, _SEEN)]
    values, vectors = np.linalg.eigh(seen)
    rotated = vectors.T @ _BROWNIAN
    num = 1201
    inner, outer = np.linspace(-12.0, 12.0, num), np.linspace(-12.0, 12.0, num)

    def log_density(a, b):
        """Of both log scales: y ~ N(0, exp(2a) seen + exp(2b) I)."""
        spread = np.exp(2 * a)[..., None] * values + np.exp(2 * b)[..., None]
        log_y = -0.5 * np.sum(np.log(2 * np.pi * spread) + rotated**2 / spread, axis=-1)
        return log_y + stats.norm.logpdf(a, 0, 2) + stats.norm.logpdf(b, 0, 2)

    # The trapezoid rule converges fast for smooth densities that vanish at both ends.
    table = np.stack([log_density(np.full(num, a), outer) for a in inner])
    step = inner[1] - inner[0]
    log_z = float(np.logaddexp.reduce(table, axis=None) + 2 * np.log(step))
    # Draws come from cells: the density is taken flat within one.
    flat = table.ravel()
    ends = np.cumsum(np.exp(flat - flat.max()))
    ends = ends / ends[-1]

    def log_joint(p):
        sigma_i, sigma_o = jnp.exp(p["log_inner"]), jnp.exp(p["log_outer"])
        scales = jnp.stack([p["log_inner"], p["log_outer"]])
        prior = jnp.sum(npd.Normal(0.0, 2.0).log_prob(scales))
        steps = jnp.diff(p["x"], prepend=0.0)
        prior += jnp.sum(npd.Normal(0.0, sigma_i).log_prob(steps))
        seen = p["x"][_SEEN]
        return prior + jnp.sum(npd.Normal(seen, sigma_o).log_prob(_BROWNIAN))

    def exact(key):
        ikey, ukey, xkey = jr.split(key, 3)
        i = jnp.searchsorted(jnp.asarray(ends), jr.uniform(ikey))
        place = step * jr.uniform(ukey, (2,), minval=-0.5, maxval=0.5)
        a, b = jnp.asarray(inner)[i // num] + place[0], outer[0] + step * (i % num)
        b = b + place[1]
        cross = jnp.exp(2 * a) * times[:, _SEEN]
        inside = jnp.exp(2 * a) * seen + jnp.exp(2 * b) * jnp.eye(20)
        gain = jnp.linalg.solve(inside, cross.T).T
        cov = jnp.exp(2 * a) * times - gain @ cross.T
        cov = cov + 1e-12 * jnp.exp(2 * a) * jnp.eye(30)
        x = gain @ _BROWNIAN + jnp.linalg.cholesky(cov) @ jr.normal(xkey, (30,))
        return {"log_inner": a, "log_outer": b, "x": x}

    return Problem(
        log_joint,
        {"log_inner": -1.0, "log_outer": -1.0, "x": jnp.zeros(30)},
        exact=exact,
        data=_BROWNIAN,
        log_z=log_z,
        how="2-d quadrature over both log scales; the path in closed form",
    )


def hidden_markov() -> Problem:
    """Two states; the chance to stay ~ Beta(4, 2); forty y ~ N(+-1, 1)."""
    rng = np.random.RandomState(5)
    states = np.cumsum(rng.uniform(size=40) < 0.15) % 2
    y = np.where(states == 0, -1.0, 1.0) + rng.normal(size=40)
    log_y = stats.norm.logpdf(y[:, None], np.array([-1.0, 1.0]), 1.0)

    def log_likelihood(stay):
        move = jnp.log(jnp.array([[stay, 1 - stay], [1 - stay, stay]]))

        def step(alpha, row):
            return jax.nn.logsumexp(alpha[:, None] + move, axis=0) + row, None

        first = jnp.log(0.5) + jnp.asarray(log_y[0])
        return jax.nn.logsumexp(jax.lax.scan(step, first, jnp.asarray(log_y[1:]))[0])

    def log_joint(p):
        return npd.Beta(4.0, 2.0).log_prob(p["stay"]) + log_likelihood(p["stay"])

    points = (np.arange(20_000) + 0.5) / 20_000
    values = jax.jit(jax.vmap(lambda s: log_joint({"stay": s})))(jnp.asarray(points))
    grid = Grid(points, np.asarray(values, float))
    return Problem(
        log_joint,
        {"stay": 0.5},
        {"stay": constraints.unit_interval},
        exact=lambda key: {"stay": grid.draw(key)},
        data=y,
        log_z=grid.log_z,
        how="1-d quadrature over the chance to stay; states by the forward algorithm",
    )
