"""The laws that the energy papers build on a proposal and an energy, as settings."""

import abc
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.density import AbstractDensity
from ..densities.conditional import Conditional
from ..densities.hamiltonian import HamiltonianImportance
from ..densities.normal import Normal
from ..densities.self_normalized import SelfNormalized
from ..densities.truncated_rejection import TruncatedRejection
from ..nn.networks import momentum_encoder

MakeEnergy = Callable[..., Callable[[Array], Float[Array, ""]]]


@dataclass(frozen=True)
class AbstractLaw(abc.ABC):
    """How a proposal and an energy become a density."""

    @abc.abstractmethod
    def build(
        self, proposal: AbstractDensity, energy: MakeEnergy, *, key: PRNGKeyArray
    ) -> AbstractDensity:
        """`energy(key=...)` makes the energy network, where one is needed."""


@dataclass(frozen=True)
class Proposal(AbstractLaw):
    """The proposal itself."""

    def build(self, proposal, energy, *, key):
        return proposal


@dataclass(frozen=True)
class SNIS(AbstractLaw):
    """Self-normalised importance sampling."""

    num: int = 1024
    """K, the point itself included."""

    def build(self, proposal, energy, *, key):
        return SelfNormalized(proposal, energy(key=key), self.num)


@dataclass(frozen=True)
class TRS(AbstractLaw):
    """Truncated rejection sampling."""

    num: int = 1024
    """T, the largest number of proposals."""

    def build(self, proposal, energy, *, key):
        return TruncatedRejection(proposal, energy(key=key), self.num)


@dataclass(frozen=True)
class HIS(AbstractLaw):
    """Hamiltonian importance sampling, on vectors of `size` elements."""

    size: int = 50
    """Elements of an event."""
    steps: int = 5
    """T, leapfrog steps."""
    alpha: float = 0.9995
    """Where each temperature starts."""
    step_size: float = 0.1
    """Where each dimension's step starts."""

    def build(self, proposal, energy, *, key):
        ekey, mkey = jr.split(key)
        return HamiltonianImportance(
            proposal,
            energy(key=ekey),
            jnp.full(self.size, self.step_size),
            jnp.full(self.steps, self.alpha),
            Conditional(momentum_encoder(self.size, key=mkey), Normal),
        )
