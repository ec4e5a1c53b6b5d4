"""The laws that the energy papers build on a proposal and an energy, as settings."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ... import schedules
from ...core.checks import check_at_least
from ...core.combine import Induced, Tilted
from ...core.density import AbstractTarget
from ...densities.conditional import Conditional
from ...densities.hamiltonian import HamiltonianImportance
from ...densities.normal import Normal
from ...densities.self_normalized import SelfNormalized
from ...kernels.langevin import Langevin
from ...nn.networks import momentum_encoder
from ...samplers.annealed import Annealed
from .law import AbstractBounded, AbstractOwn
from .rejection import LARS, TRS, PublishedTRS


@dataclass(frozen=True)
class Proposal(AbstractOwn):
    """The proposal itself."""

    def build(self, proposal, energy, *, key):
        return proposal


class _SharedProposals(AbstractTarget):
    """`density`, its fresh proposals always from `key`; what else it draws is the
    caller's. For lower ends only, as `Frozen`.
    """

    density: SelfNormalized
    key: PRNGKeyArray
    exact: ClassVar[bool] = False

    def log_prob(self, key, x):
        log_proposal = self.density.proposal.log_prob(key, x)
        return log_proposal + self.density.log_ratio(self.key, x)


@dataclass(frozen=True)
class SNIS(AbstractBounded):
    """Self-normalised importance sampling."""

    num: int = 1024
    """K, the point itself included."""

    def build(self, proposal, energy, *, key):
        return SelfNormalized(proposal, energy(key=key), self.num)

    def aim(self, model, state, key):
        return _SharedProposals(model, key), {}

    def shared(self, model, state, key):
        return _SharedProposals(model, key)

    def evaluated(self, model):
        return model


@dataclass(frozen=True)
class HIS(AbstractOwn):
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
        check_at_least("HIS: steps", self.steps, 1)
        ekey, mkey = jr.split(key)
        model = HamiltonianImportance(
            proposal,
            energy(key=ekey),
            jnp.full(self.size, self.step_size),
            jnp.full(self.steps, self.alpha),
            Conditional(momentum_encoder(self.size, key=mkey), Normal),
        )
        shape = eqx.filter_eval_shape(proposal.sample, key).shape
        if shape != (self.size,):
            raise ValueError(
                f"HIS: expected a proposal of vectors of size = {self.size} elements; "
                f"got events of shape {shape}. Set the law's size to theirs."
            )
        return model


@dataclass(frozen=True)
class AnnealedLangevin(AbstractOwn):
    """The law of one annealed chain of Langevin moves from the proposal to
    `proposal exp(-energy)`: a density for any energy (beyond the papers).
    """

    steps: int = 8
    """T, Langevin moves."""
    step_size: float = 0.3
    """Where each move's step starts."""

    def build(self, proposal, energy, *, key):
        betas = schedules.linear(self.steps)
        return _langevin(proposal, energy(key=key), betas, self.step_size)


@dataclass(frozen=True)
class ShortRunLangevin(AbstractOwn):
    """The same with every move aimed at the target itself (short-run Langevin as a
    generator; Nijkamp et al., 2019), with both ends (beyond the papers).
    """

    steps: int = 8
    """T, Langevin moves."""
    step_size: float = 0.3
    """Where each move's step starts."""

    def build(self, proposal, energy, *, key):
        betas = schedules.constant(self.steps)
        return _langevin(proposal, energy(key=key), betas, self.step_size)


def _langevin(proposal, energy, betas, step_size: float) -> Induced:
    kernel = Langevin(jnp.full(len(betas), step_size))
    return Induced(Tilted(proposal, energy), Annealed(proposal, kernel, betas))


Law: TypeAlias = (
    Proposal
    | SNIS
    | TRS
    | PublishedTRS
    | HIS
    | AnnealedLangevin
    | ShortRunLangevin
    | LARS
)
