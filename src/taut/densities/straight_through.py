"""Straight-through Gumbel coins (Jang et al., 2017): hard values, soft derivatives."""

import jax
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import check_at_least, particle_keys, split
from ..core.gradient import log_terms, stop
from ..core.particles import Particles, map_particles
from .discrete import Bernoulli


def relaxed_coins(
    key: PRNGKeyArray, logits: Float[Array, "*shape"], temperature: float
) -> Float[Array, "*shape"]:
    """Coins, exactly 0 or 1, with the derivative of the sigmoid at `temperature`."""
    if not temperature > 0:
        raise ValueError(f"temperature must be positive; got {temperature}.")
    noisy = logits + jr.logistic(key, logits.shape, logits.dtype)
    hard = (noisy > 0).astype(logits.dtype)
    soft = jax.nn.sigmoid(noisy / temperature)
    return stop(hard) + (soft - stop(soft))


def straight_through(key, target, q, num, chunk=None, *, temperature=0.7):
    """A draw for `Bernoulli` proposals, differentiated as if it were soft. Biased."""
    check_at_least("num", num, 1)
    if not isinstance(q, Bernoulli):
        raise TypeError(
            f"`straight_through` draws coins; expected a Bernoulli proposal, got "
            f"{type(q).__name__}. Use `reparam` for continuous draws, or `vimco`."
        )

    def one(key):
        qkey, pkey = split(key)
        z = relaxed_coins(qkey, q.logits, temperature)
        log_target, log_likelihood = log_terms(target, pkey, z)
        return z, log_target, log_target - q.log_density(z), log_likelihood

    return Particles(*map_particles(one, chunk)(particle_keys(key, num)))
