"""Textbook models whose evidence and posterior have closed forms."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as npd
from numpyro.distributions import constraints
from scipy.special import betaln, gammaln

from ..problem import Problem
from .gaussian import Posterior, posterior


def _gaussian(y: np.ndarray, cov: np.ndarray) -> float:
    """log N(y; 0, cov)."""
    log_det = np.linalg.slogdet(2 * np.pi * cov)[1]
    return float(-0.5 * (log_det + y @ np.linalg.solve(cov, y)))


def conjugate_gaussian() -> Problem:
    """mu ~ N(0, 2), twenty y ~ N(mu, 1)."""
    y = np.random.RandomState(0).normal(0.7, 1.0, 20)
    cov = np.eye(20) + 4.0 * np.ones((20, 20))
    law = posterior(np.ones((20, 1)), y, prior=4.0, noise=1.0)

    def log_joint(p):
        prior = npd.Normal(0.0, 2.0).log_prob(p["mu"])
        return prior + jnp.sum(npd.Normal(p["mu"], 1.0).log_prob(y))

    return Problem(
        log_joint,
        {"mu": 0.0},
        exact=lambda key: {"mu": law.draw(key)[0]},
        data=y,
        log_z=_gaussian(y, cov),
        how="closed form: y is Gaussian",
    )


def _regression() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(1)
    x = np.column_stack([np.ones(50), rng.normal(size=(50, 4))])
    return x, x @ np.array([0.5, 1.0, -1.0, 0.0, 2.0]) + 0.8 * rng.normal(size=50)


def linear_regression() -> Problem:
    """Five weights ~ N(0, 1.5), fifty y ~ N(x w, 0.8)."""
    x, y = _regression()
    cov = 2.25 * x @ x.T + 0.64 * np.eye(50)
    law = posterior(x, y, prior=2.25, noise=0.64)

    def log_joint(p):
        prior = jnp.sum(npd.Normal(0.0, 1.5).log_prob(p["w"]))
        return prior + jnp.sum(npd.Normal(x @ p["w"], 0.8).log_prob(y))

    return Problem(
        log_joint,
        {"w": jnp.zeros(5)},
        exact=lambda key: {"w": law.draw(key)},
        data=(x, y),
        log_z=_gaussian(y, cov),
        how="closed form: y is Gaussian",
    )


def linear_regression_nig() -> Problem:
    """Variance s ~ InverseGamma(3, 2), weights ~ N(0, 4 s), y ~ N(x w, s)."""
    return normal_inverse_gamma(*_regression(), shape=3.0, rate=2.0, prior=4.0)


def normal_inverse_gamma(
    x: np.ndarray, y: np.ndarray, *, shape: float, rate: float, prior: float
) -> Problem:
    """y ~ N(x w, s), w ~ N(0, prior s), s ~ InverseGamma(shape, rate)."""
    n, d = x.shape
    # y ~ Student(2 a, scale matrix b/a (I + prior x x^T)), in logs.
    spread = np.eye(n) + prior * x @ x.T
    rate_n = rate + 0.5 * y @ np.linalg.solve(spread, y)
    shape_n = shape + 0.5 * n
    log_z = (
        -0.5 * n * np.log(2 * np.pi)
        - 0.5 * np.linalg.slogdet(spread)[1]
        + shape * np.log(rate)
        - shape_n * np.log(rate_n)
        + gammaln(shape_n)
        - gammaln(shape)
    )
    law = posterior(x, y, prior=prior, noise=1.0)  # times s

    def log_joint(p):
        s = p["s"]
        log_prior = npd.InverseGamma(shape, rate).log_prob(s)
        scale = prior**0.5 * jnp.sqrt(s)
        log_prior += jnp.sum(npd.Normal(0.0, scale).log_prob(p["w"]))
        return log_prior + jnp.sum(npd.Normal(x @ p["w"], jnp.sqrt(s)).log_prob(y))

    def exact(key):
        skey, wkey = jr.split(key)
        s = rate_n / jr.gamma(skey, shape_n)
        return {"s": s, "w": law.draw(wkey, jnp.sqrt(s))}

    return Problem(
        log_joint,
        {"s": 1.0, "w": jnp.zeros(d)},
        {"s": constraints.positive},
        exact=exact,
        data=(x, y),
        log_z=float(log_z),
        how="closed form: y is Student",
    )


def probabilistic_pca() -> Problem:
    """Two latents for each of twenty points in five dimensions; loadings are fixed."""
    rng = np.random.RandomState(2)
    loadings = rng.normal(size=(5, 2))
    x = rng.normal(size=(20, 2)) @ loadings.T + 0.6 * rng.normal(size=(20, 5))
    cov = loadings @ loadings.T + 0.36 * np.eye(5)
    laws = [posterior(loadings, row, prior=1.0, noise=0.36) for row in x]
    mean = np.stack([law.mean for law in laws])
    factor = laws[0].scale_tril

    def log_joint(p):
        prior = jnp.sum(npd.Normal(0.0, 1.0).log_prob(p["z"]))
        return prior + jnp.sum(npd.Normal(p["z"] @ loadings.T, 0.6).log_prob(x))

    return Problem(
        log_joint,
        {"z": jnp.zeros((20, 2))},
        exact=lambda key: {"z": mean + jr.normal(key, (20, 2)) @ factor.T},
        data=x,
        log_z=sum(_gaussian(row, cov) for row in x),
        how="closed form: x is Gaussian",
    )


def beta_binomial() -> Problem:
    """p ~ Beta(2, 3), 13 of 20 successes."""
    a, b, n, y = 2.0, 3.0, 20, 13
    choose = gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1)

    def log_joint(p):
        prior = npd.Beta(a, b).log_prob(p["p"])
        return prior + npd.Binomial(n, probs=p["p"]).log_prob(y)

    return Problem(
        log_joint,
        {"p": 0.5},
        {"p": constraints.unit_interval},
        exact=lambda key: {"p": jr.beta(key, a + y, b + n - y)},
        data=(n, y),
        counting=True,
        log_z=float(choose + betaln(a + y, b + n - y) - betaln(a, b)),
        how="closed form",
    )


def gamma_poisson() -> Problem:
    """rate ~ Gamma(2, 1), fifteen counts."""
    a, b = 2.0, 1.0
    y = np.random.RandomState(3).poisson(3.0, 15)
    log_z = a * np.log(b) - gammaln(a) + gammaln(a + y.sum())
    log_z += -(a + y.sum()) * np.log(b + 15) - gammaln(y + 1).sum()

    def log_joint(p):
        prior = npd.Gamma(a, b).log_prob(p["rate"])
        return prior + jnp.sum(npd.Poisson(p["rate"]).log_prob(y))

    return Problem(
        log_joint,
        {"rate": 1.0},
        {"rate": constraints.positive},
        exact=lambda key: {"rate": jr.gamma(key, a + y.sum()) / (b + 15)},
        data=y,
        counting=True,
        log_z=float(log_z),
        how="closed form",
    )


def dirichlet_multinomial() -> Problem:
    """Four probabilities ~ Dirichlet(1), counts 7, 3, 9, 1."""
    y = np.array([7, 3, 9, 1])
    log_z = gammaln(4) - gammaln(4 + y.sum()) + gammaln(1 + y).sum()
    log_z += gammaln(y.sum() + 1) - gammaln(y + 1).sum()

    def log_joint(p):
        prior = npd.Dirichlet(jnp.ones(4)).log_prob(p["p"])
        return prior + npd.Multinomial(20, probs=p["p"]).log_prob(y)

    return Problem(
        log_joint,
        {"p": jnp.ones(4) / 4},
        {"p": constraints.simplex},
        exact=lambda key: {"p": jr.dirichlet(key, jnp.asarray(1.0 + y))},
        data=y,
        counting=True,
        log_z=float(log_z),
        how="closed form",
    )


def kalman() -> Problem:
    """A local level: z_1 ~ N(0, 1), steps N(0, 0.3), thirty y_t ~ N(z_t, 0.5)."""
    rng = np.random.RandomState(4)
    y = np.cumsum(rng.normal(0, 0.3, 30)) + 0.5 * rng.normal(size=30)
    times = np.arange(30)
    prior = 1.0 + 0.09 * np.minimum.outer(times, times)
    law = Posterior.conditioned(prior, np.eye(30), y, 0.25)

    def log_joint(p):
        z = p["z"]
        log_prior = npd.Normal(0.0, 1.0).log_prob(z[0])
        log_prior += jnp.sum(npd.Normal(z[:-1], 0.3).log_prob(z[1:]))
        return log_prior + jnp.sum(npd.Normal(z, 0.5).log_prob(y))

    return Problem(
        log_joint,
        {"z": jnp.zeros(30)},
        exact=lambda key: {"z": law.draw(key)},
        data=y,
        log_z=_gaussian(y, prior + 0.25 * np.eye(30)),
        how="closed form: y is Gaussian (what a Kalman filter adds up)",
    )
