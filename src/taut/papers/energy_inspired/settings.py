"""What all experiments of the energy papers have in common."""

import abc
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from ...train import Context, Phase
from ..experiment import AbstractSettled
from .laws import Law


@dataclass(frozen=True, kw_only=True)
class AbstractEnergyExperiment(AbstractSettled):
    """A law, and Adam with at most one drop of its rate."""

    law: Law
    """How proposal and energy become a model."""
    learning_rate: float = 3e-4
    """Of Adam; a third of it after `drop` steps."""
    drop: int | None = 1_000_000
    """When the learning rate drops; never without it."""

    @abc.abstractmethod
    def objective(
        self, model: Any, context: Context, x: Any
    ) -> tuple[Float[Array, ""], PyTree]:
        """What training ascends, and its metrics (with the law's own)."""

    @abc.abstractmethod
    def part(self, model: Any) -> Any:
        """The part of the model that the law built."""

    def state(self):
        return self.law.state()

    def phases(self):
        drops = None if self.drop is None else {self.drop: 1 / 3}
        rate = optax.piecewise_constant_schedule(self.learning_rate, drops)

        def loss(model, context, x):
            value, aux = self.objective(model, context, x)
            return -value, aux

        return (Phase(loss, optax.adam(rate), update=self.law.after),)

    def settle(self, key, model, state):
        return self.law.settle(key, self.part(model), state)


def kl_weight(step: Int[Array, ""], warm_up: int) -> Float[Array, ""]:
    """From 0 to 1 over `warm_up` steps."""
    return jnp.minimum(1.0, (step + 1) / max(1, warm_up))
