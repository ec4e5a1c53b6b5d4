"""The synthetic targets: an energy-inspired model is the model of planar points."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ...core.density import AbstractDensity
from ...densities.normal import Normal, StandardNormal
from ...densities.synthetic import Checkerboard, NineGaussians, RadialRings, Rings
from ...densities.transformed import Stretch, Transformed
from ...nn.networks import toy_energy
from ..experiment import Splits
from .settings import AbstractEnergyExperiment

TARGETS = {
    "nine-gaussians": NineGaussians(),
    "checkerboard": Checkerboard(),
    "checkerboard-unit": Checkerboard(0.0, 1.0),
    "rings-radial": RadialRings(),
    "rings": Rings(),
}


@dataclass(frozen=True, kw_only=True)
class Plane(AbstractEnergyExperiment):
    """Points of one synthetic target, drawn without end."""

    dataset: str = "nine-gaussians"
    """nine-gaussians, checkerboard, checkerboard-unit, rings-radial or rings."""
    variance: float = 1.0
    """Of the proposal, N(0, variance I)."""
    learned: bool = False
    """Train the proposal too: as ranking NCE, with noise learned jointly."""
    drop: int | None = None
    """When the learning rate drops; never without it, as in the papers here."""

    @property
    def target(self) -> Any:
        """What is to be learned."""
        if self.dataset not in TARGETS:
            raise ValueError(f"dataset is one of {[*TARGETS]}; got {self.dataset!r}.")
        return TARGETS[self.dataset]

    @property
    def proposal(self) -> AbstractDensity:
        """Where the law starts."""
        if not self.variance > 0:
            raise ValueError(f"variance must be positive; got {self.variance}.")
        if self.learned:
            return Normal(jnp.zeros(2), jnp.full(2, 0.5 * math.log(self.variance)))
        normal = StandardNormal((2,))
        if self.variance == 1:
            return normal
        return Transformed(normal, Stretch(math.sqrt(self.variance)))

    def data(self):
        return _splits(self.dataset, self.target, self.test_images)

    def make(self, key, splits):
        return self.law.build(self.proposal, toy_energy, key=key)

    def part(self, model):
        return model

    def objective(self, model, context, x):
        target, aux = self.law.aim(model, context.state, context.shared)
        value = target.log_prob(context.key, x)
        return value, {"bound": value} | aux

    def density(self, model, state):
        return self.law.density(model, state, lambda model: model)

    def shared(self, model, state, key):
        # Points are cheap: every score has its own proposals.
        return self.density(model, state)


@functools.cache
def _splits(name: str, target: Any, num: int) -> Splits:
    # float32 whatever the precision of the draws, as images are.
    draw = lambda key: target.draw(key).astype("float32")
    points = lambda seed: np.asarray(jax.vmap(draw)(jr.split(jr.key(seed), num)))
    return Splits(draw, points(1), points(0), digest=f"drawn:{name}")
