"""What score-function estimators know without each draw: baselines, in O(K)."""

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float


def log_sum_of_others(log_weight: Float[Array, " K"]) -> Float[Array, " K"]:
    """Entry k: the log of the sum of all weights but the k-th."""
    nothing = jnp.full(1, -jnp.inf, log_weight.dtype)
    before = jnp.concatenate([nothing, lax.cumlogsumexp(log_weight)[:-1]])
    after = lax.cumlogsumexp(log_weight, reverse=True)[1:]
    return jnp.logaddexp(before, jnp.concatenate([after, nothing]))


def sum_of_others(log_weight: Float[Array, " K"]) -> Float[Array, " K"]:
    """Entry k: the sum of all logs but the k-th; `-inf` where one of them is."""
    zero = jnp.isneginf(log_weight)
    finite, count = jnp.where(zero, 0.0, log_weight), jnp.where(zero, 1.0, 0.0)
    return jnp.where(jnp.sum(count) > count, -jnp.inf, jnp.sum(finite) - finite)


def signal(total: Float[Array, ""], baseline: Float[Array, " K"]) -> Float[Array, " K"]:
    """What each draw brought, `total - baseline`, as a finite number: against no
    baseline where the others have no weight, and nothing where the total is infinite.
    """
    # Any baseline that does not know the draw is right, none at all included.
    brought = total - jnp.where(jnp.isneginf(baseline), 0.0, baseline)
    return jnp.where(jnp.isinf(total), 0.0, brought)
