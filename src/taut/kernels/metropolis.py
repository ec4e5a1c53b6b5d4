"""The accept step of Metropolis, and the moves that need no gradient."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import split
from ..core.gradient import stop
from ..core.kernel import AbstractKernel, Point
from .step_size import step_size_at, step_sizes


def accept(
    key: PRNGKeyArray, log_ratio: Float[Array, ""], before: Point, after: Point
) -> Point:
    """`after` with probability `min(1, exp(log_ratio))`, else `before`; NaN is never
    accepted, and counted. Gradients do not flow through the choice.
    """
    before, after, log_ratio = stop((before, after, log_ratio))
    log_ratio = jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio)
    uniform = jr.uniform(key, (), log_ratio.dtype)
    chosen = jtu.tree_map(
        lambda a, b: jnp.where(uniform < jnp.exp(log_ratio), a, b), after, before
    )
    probability = jnp.exp(jnp.minimum(log_ratio, 0.0))
    invalid = before.invalid + after.invalid
    known = lambda point: (point.acceptance, point.invalid)
    return eqx.tree_at(known, chosen, (probability, invalid))


class RandomWalk(AbstractKernel):
    """Metropolis with Gaussian steps: two log densities a move, and no gradient."""

    step_size: Float[Array, "*T"] = eqx.field(converter=step_sizes)
    reparameterised: ClassVar[bool] = False

    def init(self, path, position):
        return path.value(position)

    def forward(self, key, path, t, state):
        nkey, akey = split(key)
        noise = jr.normal(nkey, state.position.shape, state.position.dtype)
        step = step_size_at(path, t, self.step_size)
        after = path.value(state.position + step * noise)
        log_ratio = path.at(t, after.log_q, after.log_gamma)
        log_ratio = log_ratio - path.at(t, state.log_q, state.log_gamma)
        return accept(akey, log_ratio, state, after), jnp.zeros_like(log_ratio)

    def backward(self, key, path, t, state):
        return self.forward(key, path, t, state)
