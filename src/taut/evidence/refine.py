"""From a mode to the Gaussian nearest the posterior."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.linalg import solve_triangular

from ..brief import brief
from ..core.density import AbstractTarget
from .fit import Fit

_ROUNDS = 8
_DRAWS = 64  # pairs
_COLUMNS = 4096  # of Hessians, per round
_DAMPING = 0.5


def refined(
    key: PRNGKeyArray, target: AbstractTarget[Float[Array, " D"]], fit: Fit
) -> Fit:
    """The variational Gaussian: `E_q[slope] = 0`, precision `-E_q[Hessian]` (Opper and
    Archambeau, 2009), by damped steps from one mode; `fit` again unless it is better.
    """
    if fit.num > 1:
        return fit
    dim = fit.locs.shape[1]
    pairs = int(np.clip(_COLUMNS // (2 * dim), 1, _DRAWS))
    log_prob = lambda u: target.log_prob(jr.key(0), u)
    average = brief(lambda key, loc, scale: _averages(log_prob, key, loc, scale, pairs))
    cast = lambda a: jnp.asarray(a, jnp.result_type(float))
    loc, scale = fit.locs[0].astype(float), fit.scale_trils[0].astype(float)
    precision = None
    best, value = None, -np.inf
    for i in range(_ROUNDS + 1):
        found = average(jr.fold_in(key, i), cast(loc), cast(scale))
        elbo, slope, curvature = (np.asarray(a, float) for a in found)
        log_det = float(np.sum(np.log(np.diagonal(scale))))
        if not np.isfinite(elbo) or not np.all(np.isfinite(curvature)):
            break
        best, value = max([(best, value), ((loc, scale), elbo + log_det)], key=_second)
        share = 1.0 if precision is None else _DAMPING
        old = 0.0 if precision is None else precision
        precision = (1 - share) * old - share * curvature
        factor = _inverse_factor(precision)
        if factor is None:
            break
        scale = factor
        loc = loc + scale @ (scale.T @ slope)
    if best is None:
        return fit
    loc, scale = best
    return replace(fit, locs=loc[None], scale_trils=scale[None])


def _second(pair):
    return pair[1]


def _averages(log_prob, key, loc, scale, pairs: int):
    """Of log density, slope and Hessian over antithetic draws."""
    noise = jr.normal(key, (_DRAWS, loc.shape[0]), loc.dtype)
    shift = noise @ scale.T
    both = lambda shift: jnp.concatenate([loc + shift, loc - shift])
    values, slopes = jax.vmap(jax.value_and_grad(log_prob))(both(shift))

    def add(total, point):
        _, column = jax.linearize(jax.grad(log_prob), point)
        return total + jax.vmap(column)(jnp.eye(point.shape[0], dtype=loc.dtype)), None

    few = both(shift[:pairs])
    zeros = jnp.zeros((loc.shape[0],) * 2, loc.dtype)
    total, _ = jax.lax.scan(add, zeros, few)
    # Next to half the noise squared, log weights but for a constant: little spread.
    square = 0.5 * jnp.sum(noise**2, axis=1)
    values = values + jnp.concatenate([square, square])
    return jnp.mean(values), jnp.mean(slopes, axis=0), total / len(few)


def _inverse_factor(precision: np.ndarray) -> np.ndarray | None:
    """Lower `L` with `L L^T` the inverse, of a positive definite matrix."""
    flipped = 0.5 * (precision + precision.T)[::-1, ::-1]
    try:
        # precision = U U^T with U upper, so that its inverse is U^-T U^-1.
        transposed = np.linalg.cholesky(flipped).T[::-1, ::-1]
    except np.linalg.LinAlgError:
        return None
    return solve_triangular(transposed, np.eye(len(flipped)), lower=True)
