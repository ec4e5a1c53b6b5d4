"""What a law is: how a proposal and an energy become a model."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ...core.density import AbstractDensity, AbstractTarget

MakeEnergy: TypeAlias = Callable[..., Callable[[Array], Float[Array, ""]]]
Use: TypeAlias = Callable[[Any], Any]  # what the model makes of the law, e.g. a VAE


@dataclass(frozen=True)
class AbstractLaw(abc.ABC):
    """How a proposal and an energy become a model, how it trains, and what of it
    evaluation may use.
    """

    @abc.abstractmethod
    def build(
        self, proposal: AbstractDensity, energy: MakeEnergy, *, key: PRNGKeyArray
    ) -> Any:
        """`energy(key=...)` makes the energy network, where one is needed."""

    @abc.abstractmethod
    def state(self) -> PyTree:
        """Training state; `None` without any."""

    @abc.abstractmethod
    def aim(
        self, model: Any, state: PyTree, key: PRNGKeyArray
    ) -> tuple[Any, dict[str, Array]]:
        """What training scores points with, the draws from `key` shared by a batch;
        and what goes with it into the metrics and the state.
        """

    @abc.abstractmethod
    def after(self, state: PyTree, aux: dict[str, Array]) -> PyTree:
        """The state after a step."""

    @abc.abstractmethod
    def shared(self, model: Any, state: PyTree, key: PRNGKeyArray) -> AbstractTarget:
        """For a lower end: what may be shared is drawn from `key`."""

    @abc.abstractmethod
    def settle(
        self, key: PRNGKeyArray, model: Any, state: PyTree
    ) -> tuple[PyTree, dict[str, float]]:
        """The state to evaluate with, estimated once, and what to record of it."""

    @abc.abstractmethod
    def density(self, model: Any, state: PyTree, use: Use) -> Any:
        """`use(model)` where that bounds anything, else a mere target to score."""


@dataclass(frozen=True)
class AbstractBounded(AbstractLaw):
    """Laws that are densities: both their ends are bounds."""

    def state(self):
        return None

    def after(self, state, aux):
        return state

    def settle(self, key, model, state):
        return state, {}

    def density(self, model, state, use):
        return use(self.evaluated(model))

    @abc.abstractmethod
    def evaluated(self, model: AbstractDensity) -> AbstractDensity:
        """The model, perhaps with a better estimator of the same law."""


@dataclass(frozen=True)
class AbstractOwn(AbstractBounded):
    """Nothing is shared: every example makes its own draws."""

    def aim(self, model, state, key):
        return model, {}

    def shared(self, model, state, key):
        return model

    def evaluated(self, model):
        return model
