"""Unadjusted Langevin moves."""

from typing import ClassVar

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float

from ..core.kernel import AbstractKernel
from .flow import flow
from .step_size import step_size_at, step_sizes


class Langevin(AbstractKernel):
    """`N(z + eps^2 / 2 grad log f_t(z), eps^2)`, both ways; never rejected, weighted
    instead, so gradients flow through the moves.
    """

    step_size: Float[Array, "*T"] = eqx.field(converter=step_sizes)
    reparameterised: ClassVar[bool] = True

    def init(self, path, position):
        return path.value_and_slope(position)

    def forward(self, key, path, t, state):
        # One leapfrog step from noise p: z' = z + eps (p + eps/2 grad), and the noise
        # that would lead back is -p', so the ratio of both kernels is in the energies.
        noise = jr.normal(key, state.position.shape, state.position.dtype)
        step = step_size_at(path, t, self.step_size)
        after, log_ratio = flow(path, t, state, noise, step, 1)
        counted = state.invalid + after.invalid
        return eqx.tree_at(lambda point: point.invalid, after, counted), log_ratio

    def backward(self, key, path, t, state):
        before, log_ratio = self.forward(key, path, t, state)
        return before, -log_ratio
