"""How decoder and encoder are trained: annealed chains, chains at the posterior, or
importance samples.
"""

import abc
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import optax

from ... import schedules
from ...core.combine import Conditioned
from ...core.gradient import stop
from ...kernels.hmc import HMC
from ...samplers.adaptation import adapt
from ...samplers.annealed import Annealed
from ...samplers.importance import Importance
from ...samplers.importance_gradient import dreg
from ...train import Phase
from .guides import Doubly, ForwardKL, OwnBound
from .spacing import Geometric, Sigmoid


@dataclass(frozen=True)
class AbstractInference(abc.ABC):
    """How decoder and encoder are trained."""

    num: int = 5
    """K, chains or samples per example."""
    numbered: ClassVar[bool] = False  # do its losses see which example they are given?

    @property
    @abc.abstractmethod
    def cost(self) -> int:
        """Decoder gradients of a step, for each example, as the paper counts them."""

    @abc.abstractmethod
    def state(self) -> Any:
        """Step sizes, where there are any."""

    @abc.abstractmethod
    def phases(self, optimiser: optax.GradientTransformation) -> tuple[Phase, ...]:
        """The losses of one step."""


@dataclass(frozen=True)
class AIS(AbstractInference):
    """Annealed chains from the guide to the posterior."""

    temperatures: int = 11
    """T as the paper counts: inverse temperatures, 0 and 1 included."""
    leapfrogs: int = 5
    """L, leapfrog steps of one move."""
    step_size: float = 0.1
    """Where every temperature's step size starts; acceptance then moves it."""
    schedule: Sigmoid | Geometric | None = None
    """Of the inverse temperatures; equal steps without one."""
    guide: Doubly | ForwardKL | None = None
    """What the guide follows; its own ELBO without it."""

    @property
    def cost(self):
        return self.num * self.temperatures * self.leapfrogs

    def state(self):
        return jnp.full(self.temperatures - 1, self.step_size)

    def phases(self, optimiser):
        betas = (self.schedule or schedules.linear)(self.temperatures - 1)

        def ascent(model, context, x):
            particles = self._run(model, context, x, betas)
            # Its gradient is the posterior average at the ends of the chains.
            bound = particles.log_z
            return bound, particles, {"bound": bound} | accepted(particles)

        return self.guide_loss.phases(ascent, follow, optimiser)

    @property
    def guide_loss(self):
        return self.guide or OwnBound()

    def _run(self, model, context, x, betas):
        kernel = HMC(context.state, self.leapfrogs)
        sampler = Annealed(stop(model.guide)(x), kernel, betas, self.num)
        return sampler.run(context.key, Conditioned(model.joint, x))


def accepted(particles: Any) -> dict[str, Any]:
    """Acceptance of every move, over the chains."""
    return {"acceptance": jnp.mean(particles.diagnostics.acceptance, axis=0)}


def follow(step_size: Any, aux: dict[str, Any]) -> Any:
    """The published rule, once per minibatch."""
    return adapt(step_size, aux["acceptance"])


@dataclass(frozen=True)
class MHHMC(AbstractInference):
    """Every move targets the posterior, and chains weigh the same (Hoffman, 2017)."""

    chains: AIS = AIS()
    """Length and moves, as of AIS at the same cost."""

    @property
    def cost(self):
        return replace(self.chains, num=self.num).cost

    def state(self):
        return self.chains.state()

    def phases(self, optimiser):
        betas = schedules.constant(self.chains.temperatures - 1)
        chains = replace(self.chains, num=self.num)

        def ascent(model, context, x):
            particles = chains._run(model, context, x, betas)
            mean = jnp.mean(particles.log_target)
            alike = jnp.zeros_like(particles.log_weight)
            ends = eqx.tree_at(lambda p: p.log_weight, particles, alike)
            return mean, ends, {"joint": mean} | accepted(particles)

        return chains.guide_loss.phases(ascent, follow, optimiser)


@dataclass(frozen=True)
class IWAE(AbstractInference):
    """Importance samples, with the doubly reparameterised gradient."""

    @property
    def cost(self):
        return self.num

    def state(self):
        return None

    def phases(self, optimiser):
        def loss(model, context, x):
            sampler = Importance(model.guide(x), self.num, dreg)
            bound = sampler.run(context.key, Conditioned(model.joint, x)).log_z
            return -bound, {"bound": bound}

        return (Phase(loss, optimiser),)
