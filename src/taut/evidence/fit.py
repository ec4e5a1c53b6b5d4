"""A few Gaussians that look like the posterior: from many starts, or from draws."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, multivariate_t

from ..brief import brief
from ..core.density import AbstractTarget

_LEAST_SHARE = 20.0  # nats below the best mode at which a mode is forgotten
_MOST_MODES = 8
_BLOCK = 64
MOST_UNSEEN = 0.25  # above it, modes that were found say little about all modes


@dataclass(frozen=True)
class Fit:
    """A mixture of Gaussians over unconstrained vectors."""

    locs: np.ndarray  # (M, D)
    scale_trils: np.ndarray  # (M, D, D)
    log_weights: np.ndarray  # (M,), normalised
    unseen: float = 0.0  # Good's estimate of the share of starts that meet new modes
    flat: float = 1.0  # smallest curvature at a mode, in units of those along axes
    degrees_of_freedom: float = np.inf  # of Students in place of Gaussians

    @property
    def num(self) -> int:
        return len(self.locs)

    @property
    def vague(self) -> bool:
        """Is one Gaussian around everything the best there is?"""
        return self.num == 1 or self.unseen > MOST_UNSEEN

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Of the mixture, at points of shape (n, D)."""
        parts = []
        for loc, scale in zip(self.locs, self.scale_trils):
            white = solve_triangular(scale, (points - loc).T, lower=True)
            log_det = np.sum(np.log(np.diagonal(scale)))
            law = multivariate_normal(np.zeros(len(loc)))
            if np.isfinite(self.degrees_of_freedom):
                law = multivariate_t(np.zeros(len(loc)), df=self.degrees_of_freedom)
            parts.append(np.atleast_1d(law.logpdf(white.T)) - log_det)
        return np.asarray(logsumexp(np.array(parts).T + self.log_weights, axis=1))

    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and Cholesky factor of the whole mixture."""
        if self.num == 1:
            return self.locs[0], self.scale_trils[0]
        w = np.exp(self.log_weights)
        if self.unseen > 0:
            w = np.full(self.num, 1 / self.num)
        mean = w @ self.locs
        shift = self.locs - mean
        within = np.einsum("m,mij,mkj->ik", w, self.scale_trils, self.scale_trils)
        return mean, np.linalg.cholesky(
            within + np.einsum("m,mi,mk->ik", w, shift, shift)
        )


def starts(
    key: PRNGKeyArray, first: Float[Array, " D"], num: int
) -> Float[Array, "num D"]:
    """The example, and points ever farther from it (1 to 10 standard normals)."""
    scales = jnp.geomspace(1.0, 10.0, num).at[0].set(0.0)
    return first + scales[:, None] * jr.normal(key, (num, first.shape[0]), first.dtype)


def laplace(
    target: AbstractTarget[Float[Array, " D"]], points: Float[Array, "num D"]
) -> Fit | None:
    """One Gaussian per mode that the starts lead to; `None` where there is none, as for
    densities that grow without bound.
    """
    log_prob, slope, hessian = _compiled(target)
    ends = [_climb(slope, np.asarray(point)) for point in points]
    ends = sorted((e for e in ends if e is not None), key=lambda e: -e[1])
    modes: list[tuple[np.ndarray, np.ndarray, float]] = []
    hits: list[int] = []
    flat: list[float] = []
    for loc, value in ends:
        near = [
            i for i, (m, chol, _) in enumerate(modes) if _distance(loc, m, chol) < 1
        ]
        if near:
            hits[near[0]] += 1
            continue
        if len(modes) == _MOST_MODES:
            hits.append(1)
            continue
        factor = _factor(-np.asarray(hessian(loc)))
        if factor is None:
            continue
        scale, relative = factor
        flat.append(relative)
        log_det = float(np.sum(np.log(np.diagonal(scale))))
        half = 0.5 * len(loc) * np.log(2 * np.pi)
        modes.append((loc, scale, value + half + log_det))
        hits.append(1)
    if not modes:
        return None
    shares = np.array([m[2] for m in modes])
    kept = shares > shares.max() - _LEAST_SHARE
    found = [m for m, keep in zip(modes, kept) if keep]
    once = sum(h == 1 for h in hits)
    # Good (1953): the chance that one more start meets a mode not seen before.
    unseen = once / max(sum(hits), 1) if len(hits) > 1 else 0.0
    return Fit(
        np.stack([m[0] for m in found]),
        np.stack([m[1] for m in found]),
        shares[kept] - logsumexp(shares[kept]),
        unseen,
        min(f for f, keep in zip(flat, kept) if keep),
    )


def moments(draws: np.ndarray) -> Fit:
    """One Gaussian with the mean and covariance of draws, of shape (n, D)."""
    n, dim = draws.shape
    cov = np.atleast_2d(np.cov(draws.T))
    # A little of the diagonal keeps few draws in many dimensions invertible.
    share = dim / (dim + n)
    cov = (1 - share) * cov + share * np.diag(np.diagonal(cov))
    return Fit(draws.mean(axis=0)[None], np.linalg.cholesky(cov)[None], np.zeros(1))


def by_population(
    key: PRNGKeyArray,
    target: AbstractTarget[Float[Array, " D"]],
    first: Float[Array, " D"],
    *,
    num: int = 400,
    rounds: int = 20,
) -> Fit:
    """Without gradients: a Gaussian moved by tempered weights of its own draws."""
    many = eqx.filter_jit(jax.vmap(lambda u: target.log_prob(key, u)))
    loc, scale = np.asarray(first), 3.0 * np.eye(first.shape[0])
    rng = np.random.default_rng(np.asarray(jr.key_data(key)))
    for _ in range(rounds):
        noise = rng.standard_normal((num, len(loc)))
        points = loc + noise @ scale.T
        log_target = np.asarray(many(jnp.asarray(points, first.dtype)), float)
        log_weight = log_target + 0.5 * np.sum(noise**2, axis=1)
        log_weight = np.where(np.isnan(log_weight), -np.inf, log_weight)
        if not np.any(np.isfinite(log_weight)):
            raise ValueError(
                "The log joint was finite at none of the points around `example`. "
                "Give an example that is a plausible value of the parameters."
            )
        w = _tempered(log_weight, least=max(0.2 * num, 2.0 * len(loc)))
        loc = w @ points
        shift = points - loc
        cov = np.einsum("n,ni,nj->ij", w, shift, shift)
        scale = np.linalg.cholesky(cov + 1e-9 * np.trace(cov) * np.eye(len(loc)))
    return Fit(loc[None], scale[None], np.zeros(1))


def _tempered(log_weight: np.ndarray, least: float) -> np.ndarray:
    """Normalised `w^b` with the largest `b <= 1` that keeps enough of them."""
    for power in np.geomspace(1.0, 1e-4, 40):
        w = np.exp(power * (log_weight - log_weight.max()))
        w = w / w.sum()
        if 1 / np.sum(w**2) >= least:
            break
    return w


def _compiled(target) -> tuple[Callable, Callable, Callable]:
    key = jr.key(0)
    log_prob = lambda u: target.log_prob(key, u)
    slope = brief(jax.value_and_grad(log_prob))

    @brief
    def hessian(u):
        column = lambda v: jax.jvp(jax.grad(log_prob), (u,), (v,))[1]
        return jax.lax.map(
            column, jnp.eye(u.shape[0], dtype=u.dtype), batch_size=_BLOCK
        )

    return log_prob, slope, hessian


def _climb(slope: Callable, start: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The local maximum above one start, by L-BFGS."""

    def negative(u):
        value, gradient = slope(jnp.asarray(u, start.dtype))
        value, gradient = float(value), np.asarray(gradient, float)
        if not np.isfinite(value) or not np.all(np.isfinite(gradient)):
            return 1e100, np.zeros_like(gradient)
        return -value, -gradient

    out = minimize(
        negative,
        np.asarray(start, float),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500, "maxcor": 20},
    )
    if out.fun >= 1e100:
        return None
    return np.asarray(out.x, start.dtype), -float(out.fun)


def _factor(precision: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Cholesky factor of the inverse, and how flat the flattest direction is."""
    if not np.all(np.isfinite(precision)):
        return None
    precision = 0.5 * (precision + precision.T).astype(float)
    values, vectors = np.linalg.eigh(precision)
    if values[-1] <= 0:
        return None
    relative = _flatness(precision)
    floored = np.maximum(values, 1e-10 * values[-1])
    half = vectors / np.sqrt(floored)
    lower = np.linalg.qr(half.T)[1].T
    return lower * np.sign(np.diagonal(lower)), relative


def _flatness(precision: np.ndarray) -> float:
    """Smallest curvature in units that make that along every axis one."""
    curvature = np.diagonal(precision)
    if np.any(curvature <= 0):
        return 0.0
    scaled = precision / np.sqrt(np.outer(curvature, curvature))
    return float(np.linalg.eigvalsh(scaled)[0])


def _distance(a: np.ndarray, b: np.ndarray, scale_tril: np.ndarray) -> float:
    white = np.linalg.solve(scale_tril, a - b)
    return float(np.mean(white**2))
