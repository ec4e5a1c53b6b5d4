"""How the fresh points of a self-normalised density are drawn, and what they are worth
to the proposal.

Every function has one signature: given `first`, the log weight of the point in hand, it
draws `num - 1` fresh points and returns the log of the sum of all `num` weights. The
values have the same law; only the derivative with respect to the proposal differs.
Energies and fresh points know nothing of `first`, so under `vmap` with one key they are
computed once.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import check_at_least, check_scalar, particle_keys, split
from ..core.density import AbstractDensity
from ..core.gradient import stop
from ..core.numerics import log_sum_exp
from ..leave_one_out import log_sum_of_others, signal, sum_of_others
from .stage import draw_with_path, last_coins, last_stage
from .straight_through import relaxed_coins

X = TypeVar("X")
Scalar: TypeAlias = Float[Array, ""]
Energy: TypeAlias = Callable[[X], Scalar]
Negatives: TypeAlias = Callable[
    [PRNGKeyArray, AbstractDensity[X], Energy[X], int, Scalar], Scalar
]


def log_weigh(energy: Energy[X], x: X) -> Scalar:
    """The log weight of one point."""
    return -check_scalar("The energy", energy(x))


def by_path(key, proposal, energy, num, first):
    """Differentiate through the points where the proposal allows it; hold them where
    it does not, as both papers do for discrete points (biased).
    """
    one = lambda key: log_weigh(energy, draw_with_path(key, proposal))
    return _total(first, jax.vmap(one)(particle_keys(key, num - 1)))


def ignored(key, proposal, energy, num, first):
    """Hold every point: the fresh points teach the proposal nothing (biased)."""
    one = lambda key: log_weigh(energy, stop(proposal.sample(key)))
    return _total(first, jax.vmap(one)(particle_keys(key, num - 1)))


def relaxed(key, proposal, energy, num, first, *, temperature=0.7):
    """Straight-through Gumbel coins: hard values, soft derivatives (biased)."""

    def one(key):
        skey, ckey = split(key)
        logits = last_coins(skey, proposal).logits
        return log_weigh(energy, relaxed_coins(ckey, logits, temperature))

    return _total(first, jax.vmap(one)(particle_keys(key, num - 1)))


def leave_one_out(key, proposal, energy, num, first):
    """Score function with the baselines of VIMCO (Mnih & Rezende, 2016): in each
    point's own, the geometric mean of the other weights stands in for it. Unbiased.
    """

    def one(key):
        skey, xkey = split(key)
        stage = last_stage(skey, proposal)
        x = stop(stage.draw(xkey))
        return log_weigh(energy, x), stage.log_density(x)

    log_weight, log_q = jax.vmap(one)(particle_keys(key, num - 1))
    total = _total(first, log_weight)
    first, lw = stop(first), stop(log_weight)
    mean = (first + sum_of_others(lw)) / (num - 1)
    baseline = jnp.logaddexp(jnp.logaddexp(first, log_sum_of_others(lw)), mean)
    return total + _credit(signal(stop(total), baseline), log_q)


def linearised(key, proposal, energy, num, first):
    """Score function with a linear control variate, for coins (ours). Unbiased.

    Around its mean `mu` a coin vector weighs `w(x) = a + rho g . (x - mu)`, with
    `g = -dU/dx(mu)`, and a remainder. What the line explains of the score function's
    noise is taken out, and put back by its exact gradient through `mu`. `a` and `rho`
    are regressed on all the other fresh points, `rho` from Taylor's `w(mu)`, so they do
    not depend on the point they serve.
    """
    check_at_least("num for `linearised`", num, 3)

    def one(key):
        skey, xkey = split(key)
        coins = last_coins(skey, proposal)
        x = stop(coins.draw(xkey))
        mean = jax.nn.sigmoid(coins.logits)
        log_middle, slope = stop(jax.value_and_grad(weigh)(stop(mean)))
        line = jnp.sum(slope * (x - stop(mean)))
        spread = stop(jnp.sum(slope**2 * mean * (1 - mean)))  # the line's variance
        lift = jnp.sum(slope * (mean - stop(mean)))  # zero, with the line's gradient
        fit = log_middle, line, spread
        return weigh(x), coins.log_density(x), stop(fit), lift

    weigh = lambda x: log_weigh(energy, x)
    log_weight, log_q, fit, lift = jax.vmap(one)(particle_keys(key, num - 1))
    total = _total(first, log_weight)
    first, lw = stop(first), stop(log_weight)
    without = log_sum_of_others(lw)
    baseline = jnp.logaddexp(jnp.logaddexp(first, without), without - jnp.log(num - 2))
    scale = jnp.maximum(jnp.max(lw), jnp.max(fit[0]))
    # d log(total) = dw / total; 60: no overflow where one weight is everything.
    rho = _slopes(lw - scale, fit[0] - scale, *fit[1:])
    rho = rho * jnp.exp(jnp.minimum(scale - baseline, 60.0))
    brought = signal(stop(total), baseline) - rho * fit[1]
    return total + _credit(brought, log_q) + jnp.sum(rho * lift)


def _slopes(log_weight, log_middle, line, spread, strength=4.0):
    """Slope of the weights on their lines without each point, drawn towards Taylor's as
    by `strength` more points that lie on it.
    """
    weight, num = jnp.exp(log_weight), log_weight.shape[0] - 1
    without = lambda x: jnp.sum(x) - x
    mean_weight, mean_line = without(weight) / num, without(line) / num
    covariance = without(weight * line) - num * mean_weight * mean_line
    variance = without(line**2) - num * mean_line**2
    prior = strength * spread
    tiny = jnp.finfo(weight.dtype).tiny
    return (covariance + prior * jnp.exp(log_middle)) / (variance + prior + tiny)


def _total(first: Scalar, log_weight: Float[Array, " n"]) -> Scalar:
    """Log of the sum of all weights; the fresh ones are summed apart, and first."""
    if log_weight.shape[0] == 0:
        return first
    return log_sum_exp(jnp.stack([first, log_sum_exp(log_weight)]))


def _credit(brought: Float[Array, " n"], log_q: Float[Array, " n"]) -> Scalar:
    """Zero, whose derivative is `sum_j brought_j d log q(x_j)`."""
    return jnp.sum(stop(brought) * (log_q - stop(log_q)))
