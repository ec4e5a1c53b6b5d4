"""Targets in the plane on which annealed chains are tried."""

import math
from typing import ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

import taut
from taut.papers.annealed.adapting import Funnel
from taut.papers.annealed.implicit import CORRELATION, Correlated

from .registry import SamplerCase, sampler_case


class Sliced(taut.AbstractExact[Array]):
    """`v ~ N(0, 1)`, `z ~ N(slope v, scale^2 e^(rate v))`, with both standard
    deviations times `spread`.
    """

    spread: float = 1.0
    slope: float = 0.0
    scale: float = 1.0
    rate: float = 0.0
    reparameterised: ClassVar[bool] = False

    def _slices(self, v):
        first = taut.Normal(jnp.zeros(()), jnp.log(self.spread))
        log_scale = jnp.log(self.spread * self.scale) + 0.5 * self.rate * v
        return first, taut.Normal(self.slope * v, log_scale)

    def draw(self, key):
        vkey, zkey = jr.split(key)
        v = self._slices(jnp.zeros(()))[0].sample(vkey)
        return jnp.stack([v, self._slices(v)[1].sample(zkey)])

    def log_density(self, x):
        first, second = self._slices(x[0])
        return first.log_density(x[0]) + second.log_density(x[1])


def case(target, **shape):
    """Their constants are one."""
    sampler = taut.Importance(Sliced(1.2, **shape), 3)
    return SamplerCase(sampler, target, Sliced(**shape), jnp.array(0.0))


@sampler_case
def funnel():
    return case(Funnel(), rate=1.0)


@sampler_case
def correlated():
    scale = math.sqrt(1 - CORRELATION**2)
    return case(Correlated(), slope=CORRELATION, scale=scale)
