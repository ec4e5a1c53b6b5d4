"""Guides whose draws move towards the posterior before they are weighed."""

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import schedules
from ...core.density import AbstractDensity
from ...kernels.langevin import Langevin
from ...samplers.annealed import Annealed
from ...samplers.hierarchical_refined import HierarchicalRefined
from .guides import AbstractGuide, HierarchicalGuide, Image, PlainGuide
from .settings import HIWAE, IWAE, AbstractGuideSettings


class Moves(eqx.Module):
    """A short annealed run from any proposal, by Langevin moves of learned size."""

    raw_step_size: Float[Array, " moves"]
    num: int = eqx.field(static=True)

    def __call__(self, q: AbstractDensity) -> Annealed:
        kernel = Langevin(jnp.logaddexp(self.raw_step_size, 0.0))
        betas = schedules.linear(self.raw_step_size.shape[0])
        return Annealed(q, kernel, betas, self.num)


def _moves(moves: int, step_size: float, num: int) -> Moves:
    return Moves(jnp.full(moves, jnp.log(jnp.expm1(step_size))), num)


class MovingGuide(AbstractGuide):
    """K draws of one Gaussian, all moved."""

    start: PlainGuide
    moves: Moves

    @property
    def proposals(self):
        return (*self.start.proposals, self.moves)

    def towards(self, joint):
        return self

    def __call__(self, x: Image) -> Annealed:
        return self.moves(self.start(x).proposal)


class RefinedGuide(AbstractGuide):
    """H-IWAE, every draw moved."""

    start: HierarchicalGuide
    moves: Moves

    @property
    def proposals(self):
        return (*self.start.proposals, self.moves)

    def towards(self, joint):
        return self

    def __call__(self, x: Image) -> HierarchicalRefined:
        return HierarchicalRefined(self.start(x), self.moves)


@dataclass(frozen=True)
class LangevinGuide(AbstractGuideSettings):
    """Langevin moves along a path from the encoder's Gaussian to the posterior."""

    moves: int = 3
    """Moves, of one decoder gradient each."""
    step_size: float = 0.05
    """Where every move's step size starts."""

    def build(self, sizes, *, key):
        start = IWAE(self.num).build(sizes, key=key)
        return MovingGuide(start, _moves(self.moves, self.step_size, self.num))


@dataclass(frozen=True)
class RefinedHIWAE(AbstractGuideSettings):
    """H-IWAE with equal weights, every draw refined by a short annealed run."""

    moves: int = 2
    """Moves, of one decoder gradient each."""
    step_size: float = 0.05
    """Where every move's step size starts."""

    def build(self, sizes, *, key):
        start = HIWAE(self.num, 0.0).build(sizes, key=key)
        return RefinedGuide(start, _moves(self.moves, self.step_size, 1))
