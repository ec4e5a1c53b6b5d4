"""Metropolis moves as long, in every direction, as the density is wide there."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from ..core.checks import split
from ..core.kernel import AbstractKernel, Path, Point
from .metropolis import accept
from .step_size import step_size_at, step_sizes


class Curved(AbstractKernel):
    """`N(z + eps^2 / 2 G^-1 grad log f_t(z), eps^2 G^-1)` and a Metropolis test; `G` is
    the absolute curvature at `z` (Girolami and Calderhead, 2011; `G` without slope).

    Leaves narrow necks, at two Hessians a move. `floor` is the least curvature that is
    believed: at 1, no move is longer than one of a whitened target need be.
    """

    step_size: Float[Array, "*T"] = eqx.field(converter=step_sizes)
    floor: float = 1.0
    reparameterised: ClassVar[bool] = False

    def init(self, path, position):
        message = "Curved: `floor`, the least curvature that is believed, is positive."
        floor = jnp.asarray(self.floor)
        wrong = ~((floor > 0) & (floor < jnp.inf))
        return path.value(eqx.error_if(position, wrong, message))

    def forward(self, key, path, t, state):
        nkey, akey = split(key)
        step = step_size_at(path, t, self.step_size)
        here = _Local(path, t, state, step, self.floor)
        noise = jr.normal(nkey, state.position.shape, state.position.dtype)
        after = path.value(here.draw(noise))
        there = _Local(path, t, after, step, self.floor)
        log_ratio = path.at(t, after.log_q, after.log_gamma)
        log_ratio = log_ratio - path.at(t, state.log_q, state.log_gamma)
        log_ratio = log_ratio + there.log_prob(state) - here.log_prob(after)
        return accept(akey, log_ratio, state, after), jnp.zeros_like(log_ratio)

    def backward(self, key, path, t, state):
        return self.forward(key, path, t, state)


class _Local:
    """The Gaussian that a move from `point` is drawn from."""

    def __init__(self, path: Path, t, point: Point, step, floor: float):
        hessian = jax.jacfwd(lambda z: path.slope(t, z))(point.position)
        values, self.vectors = jnp.linalg.eigh(hessian)
        self.scale = step / (values**2 + floor**2) ** 0.25  # eps / sqrt(|curvature|)
        slope = self.vectors.T @ path.slope(t, point.position)
        drift = 0.5 * self.scale**2 * slope
        self.mean = point.position + self.vectors @ drift

    def draw(self, noise: Array) -> Array:
        return self.mean + self.vectors @ (self.scale * noise)

    def log_prob(self, point: Point) -> Array:
        white = self.vectors.T @ (point.position - self.mean) / self.scale
        return -0.5 * jnp.sum(white**2) - jnp.sum(jnp.log(self.scale))
