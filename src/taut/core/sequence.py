"""The contract of densities that unfold in time."""

import abc
from typing import Generic, TypeVar

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from .density import AbstractDensity

S = TypeVar("S")
Y = TypeVar("Y")


class AbstractSequence(AbstractDensity[tuple[S, Y]], Generic[S, Y]):
    """States and what is observed of them; every leaf has a leading axis of time.

    Its `log_prob` is the sum of the two methods below over time.
    """

    length: eqx.AbstractVar[int]

    @abc.abstractmethod
    def log_first(self, key: PRNGKeyArray, state: S, observed: Y) -> Float[Array, ""]:
        """Of the first state and what is observed of it."""

    @abc.abstractmethod
    def log_next(
        self, key: PRNGKeyArray, before: S, state: S, observed: Y
    ) -> Float[Array, ""]:
        """Of a later state, given the one before, and what is observed of it."""
