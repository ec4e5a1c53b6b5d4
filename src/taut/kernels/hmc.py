"""Hamiltonian Monte Carlo."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from ..core.checks import check_at_least, split
from ..core.kernel import AbstractKernel
from .flow import flow
from .metropolis import accept
from .step_size import step_size_at, step_sizes


class HMC(AbstractKernel):
    """Fresh momentum, `leapfrogs` steps, one Metropolis test (Duane et al., 1987).

    Reversible for `f_t`, with `leapfrogs` gradients a move. With `scale`, a tree shaped
    like the event (standard deviations of a guide, say), it moves `z / scale`.
    """

    step_size: Float[Array, "*T"] = eqx.field(converter=step_sizes)
    leapfrogs: int = eqx.field(static=True, default=5)
    scale: Any = None
    reparameterised: ClassVar[bool] = False

    def __check_init__(self):
        check_at_least("HMC: leapfrogs", self.leapfrogs, 1)

    def init(self, path, position):
        if self.scale is not None:
            message = "HMC: expected a `scale` that is positive and finite throughout."
            scale = path.ravel(self.scale)
            wrong = ~(jnp.isfinite(scale) & (scale > 0))
            position = eqx.error_if(position, wrong, message)
        return path.value_and_slope(position)

    def forward(self, key, path, t, state):
        pkey, akey = split(key)
        momentum = jr.normal(pkey, state.position.shape, state.position.dtype)
        step = step_size_at(path, t, self.step_size)
        if self.scale is not None:
            # Leapfrogs of `z / scale` are those of `z`, each element by its own step.
            step = step * path.ravel(self.scale)
        after, log_ratio = flow(path, t, state, momentum, step, self.leapfrogs)
        return accept(akey, log_ratio, state, after), jnp.zeros_like(log_ratio)

    def backward(self, key, path, t, state):
        return self.forward(key, path, t, state)
