"""The laws that the energy papers build on a proposal and an energy, as settings."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ... import schedules
from ...core.checks import check_at_least
from ...core.combine import Frozen, Induced, Tilted
from ...core.density import AbstractDensity, AbstractTarget
from ...densities.conditional import Conditional
from ...densities.hamiltonian import HamiltonianImportance
from ...densities.indexed_rejection import IndexedTruncatedRejection, index_summed
from ...densities.normal import Normal
from ...densities.resampled import Resampled, smoothed
from ...densities.self_normalized import SelfNormalized
from ...densities.truncated_rejection import TruncatedRejection
from ...kernels.langevin import Langevin
from ...nn.networks import momentum_encoder
from ...samplers.annealed import Annealed
from .ancestral import Unbounded

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
class TRS(AbstractBounded):
    """Truncated rejection sampling, trained on our tighter bound: the number of
    proposals it took is summed out given the proposals. For exact proposals.
    """

    num: int = 1024
    """T, the largest number of proposals."""

    def build(self, proposal, energy, *, key):
        return TruncatedRejection(proposal, energy(key=key), self.num)

    def aim(self, model, state, key):
        return Frozen(model, key), {}

    def shared(self, model, state, key):
        return Frozen(model, key)

    def evaluated(self, model):
        return model


class _IndexSummed(eqx.Module):
    """The loss of the paper, in the place of a target."""

    density: IndexedTruncatedRejection
    key: PRNGKeyArray

    def log_prob(self, key, x):
        del key
        return index_summed(self.key, self.density, x)


@dataclass(frozen=True)
class PublishedTRS(AbstractBounded):
    """Truncated rejection sampling, trained on the paper's bound with the number of
    proposals summed out, a loss; evaluated, as the same law, like `TRS`.
    """

    num: int = 1024
    """T, the largest number of proposals."""

    def build(self, proposal, energy, *, key):
        return IndexedTruncatedRejection(proposal, energy(key=key), self.num)

    def aim(self, model, state, key):
        return _IndexSummed(model, key), {}

    def shared(self, model, state, key):
        return Frozen(self.evaluated(model), key)

    def evaluated(self, model):
        return TruncatedRejection(model.proposal, model.energy, model.num)


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
        return HamiltonianImportance(
            proposal,
            energy(key=ekey),
            jnp.full(self.size, self.step_size),
            jnp.full(self.steps, self.alpha),
            Conditional(momentum_encoder(self.size, key=mkey), Normal),
        )


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


@dataclass(frozen=True)
class LARS(AbstractLaw):
    """Learned accept/reject sampling: the law of TRS by its closed form with an
    estimated acceptance rate put in, which is no bound.
    """

    num: int = 1024
    """T, the largest number of proposals."""
    draws: int = 1024
    """Proposals of one step, for the acceptance rate."""
    evaluation_draws: int = 10_000_000
    """Proposals for the acceptance rate in the final evaluation."""

    def build(self, proposal, energy, *, key):
        return Resampled(proposal, energy(key=key), self.num)

    def state(self):
        return jnp.array(0.5)

    def aim(self, model, state, key):
        rate, average = smoothed(state, model.rate(key, self.draws))
        return model.at(rate), {"rate": average}

    def after(self, state, aux):
        return aux["rate"]

    def shared(self, model, state, key):
        return model.at(state)

    def settle(self, key, model, state):
        rate, error = acceptance(model, key, self.evaluation_draws)
        return rate, {"acceptance": float(rate), "acceptance_se": float(error)}

    def density(self, model, state, use):
        return Unbounded(use(model.at(state)))


@eqx.filter_jit
def acceptance(
    model: Resampled, key: PRNGKeyArray, draws: int, block: int = 10_000
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The acceptance rate and its standard error, in blocks of proposals."""
    block = min(block, draws)

    def moments(key):
        accept = lambda key: model.accept(model.proposal.sample(key))
        a = jax.vmap(accept)(jr.split(key, block))
        return jnp.mean(a), jnp.mean(a**2)

    mean, square = jax.lax.map(moments, jr.split(key, -(-draws // block)))
    rate = jnp.mean(mean)
    return rate, jnp.sqrt(jnp.maximum(jnp.mean(square) - rate**2, 0.0) / draws)


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
