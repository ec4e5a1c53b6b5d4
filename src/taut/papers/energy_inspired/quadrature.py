"""The true log density of a model of points in the plane, by quadrature."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.nn import log_sigmoid
from jaxtyping import Array, Float

from ...core.density import AbstractDensity
from ...core.numerics import log_sum_exp
from ...densities.hamiltonian import HamiltonianImportance
from ...densities.normal import Normal
from ...densities.resampled import Resampled
from ...densities.self_normalized import SelfNormalized
from ...densities.truncated_rejection import TruncatedRejection, log_closed_form

Points = Float[Array, "n 2"]
_KEY = jr.key(0)  # exact proposals do not look at it


def log_density(model: Any, variance: float, xs: Points) -> np.ndarray | None:
    """At each point; `None` for laws that take more than a few dimensions.

    `variance` is that of the proposal N(0, variance I).
    """
    if isinstance(model, SelfNormalized):
        found = _self_normalized(model, variance, xs)
    elif isinstance(model, TruncatedRejection | Resampled):
        found = _rejection(model, variance, xs)
    elif isinstance(model, HamiltonianImportance):
        found = _hamiltonian(model, xs)
    else:
        return None
    return np.asarray(found)


def grid(side: float, num: int) -> tuple[Points, float]:
    """Points on `[-side, side]^2`, and the log area of each."""
    line = jnp.linspace(-side, side, num)
    points = jnp.stack(jnp.meshgrid(line, line), -1).reshape(-1, 2)
    return points, 2 * math.log(2 * side / (num - 1))


def _log_proposal(proposal: AbstractDensity, xs: Points) -> Float[Array, " n"]:
    return jax.vmap(lambda x: proposal.log_prob(_KEY, x))(xs)


def _proposals(model: Any, variance: float) -> tuple[Points, Float[Array, " n"]]:
    """Points that stand for draws of the proposal, and their log probabilities."""
    points, log_area = grid(7 * variance**0.5, 401)
    log_p = _log_proposal(model.proposal, points) + log_area
    return points, log_p - log_sum_exp(log_p)


@eqx.filter_jit
def _rejection(model, variance: float, xs):
    """The closed form, given the acceptance rate."""
    points, log_p = _proposals(model, variance)
    log_accept = lambda x: log_sigmoid(-model.energy(x))
    rate = jnp.exp(log_sum_exp(log_p + jax.vmap(log_accept)(points)))
    ratio = lambda x: log_closed_form(log_accept(x), rate, model.num)
    return _log_proposal(model.proposal, xs) + jax.vmap(ratio)(xs)


def _self_normalized(model, variance: float, xs):
    """`p(x) = pi(x) K w(x) E[1 / (w(x) + W)]`, `W` the sum of K - 1 fresh weights, is
    `pi(x) K w(x) int_0^inf exp(-t w(x)) E[exp(-t w)]^(K-1) dt`, twice a quadrature.
    """
    log_p, log_w, first = _log_weights(model, variance, xs)
    # t = exp(v): from where it is small beside one over any weight, to where
    # exp(-t w(x)) is nothing.
    low = -22.0 - max(float(jnp.max(first)), 0.0)
    high = max(12.0, 4.0 - float(jnp.min(first)))
    v = jnp.linspace(low, high, math.ceil((high - low) / 0.085))
    log_inverse = _log_mean_inverse(model.num, log_p, log_w, first, v)
    return _log_proposal(model.proposal, xs) + math.log(model.num) + first + log_inverse


@eqx.filter_jit
def _log_weights(model, variance: float, xs):
    """Log probabilities and log weights on the grid, and log weights at `xs`; the
    weights have mean one.
    """
    points, log_p = _proposals(model, variance)
    log_weight = jax.vmap(lambda x: -model.energy(x))
    log_w = log_weight(points)
    mean = log_sum_exp(log_p + log_w)
    return log_p, log_w - mean, log_weight(xs) - mean


@eqx.filter_jit
def _log_mean_inverse(num: int, log_p, log_w, first, v):
    """`log E[1 / (w(x) + W)]`."""
    log_laplace = lambda v: log_sum_exp(log_p - jnp.exp(v + log_w))
    others = (num - 1) * jax.lax.map(log_laplace, v)
    step = jnp.log(v[1] - v[0])
    inverse = lambda first: log_sum_exp(v - jnp.exp(v + first) + others) + step
    return jax.lax.map(inverse, first)


@eqx.filter_jit
def _hamiltonian(model: HamiltonianImportance, xs):
    """The joint density summed over momenta around where the guide expects them."""
    unit, log_area = grid(8.0, 97)

    def one(x):
        guide = model.momentum(x)
        assert isinstance(guide, Normal)
        momenta = guide.loc + jnp.exp(guide.log_scale) * unit
        joint = lambda m: model.hamiltonian.log_prob(_KEY, (m, x))
        area = log_area + jnp.sum(guide.log_scale)
        return log_sum_exp(jax.vmap(joint)(momenta)) + area

    return jax.lax.map(one, xs)
