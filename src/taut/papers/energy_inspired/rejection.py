"""Rejection: TRS on both its bounds, and LARS, which has none."""

from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ...core.checks import check_at_least, check_scalar
from ...core.density import AbstractTarget
from ...core.numerics import log_mean_exp
from ...densities.indexed_rejection import IndexedTruncatedRejection, index_summed
from ...densities.resampled import Resampled, smoothed
from ...densities.truncated_rejection import TruncatedRejection, log_reject
from ...nn.heads import Raised
from .ancestral import Unbounded
from .law import AbstractBounded, AbstractLaw

ROTATIONS = 32


class _Rotated(AbstractTarget):
    """`density`, its other proposals always from `key`, and in several orders: the
    estimate is their mean. For lower ends only, as `Frozen`.
    """

    density: TruncatedRejection
    key: PRNGKeyArray
    exact: ClassVar[bool] = False

    def log_prob(self, key, x):
        model, others = self.density, self.density.num - 1
        if others == 0:
            return model.proposal.log_prob(key, x)
        rejected = log_reject(self.key, model.proposal, model.energy, others)
        starts = jnp.arange(min(ROTATIONS, others)) * max(1, others // ROTATIONS)
        orders = (starts[:, None] + jnp.arange(others)) % others
        energy = check_scalar("The energy", model.energy(x))
        ratios = jax.vmap(lambda order: model.log_ratio(energy, rejected[order]))
        return model.proposal.log_prob(key, x) + log_mean_exp(ratios(orders))


@dataclass(frozen=True)
class TRS(AbstractBounded):
    """Truncated rejection sampling, trained on our tighter bound: the number of
    proposals it took is summed out given the proposals. For exact proposals.
    """

    num: int = 1024
    """T, the largest number of proposals."""
    raised: float = 0.0
    """Added to the energy before training, and trained with it. An acceptance rate that
    starts low can grow anywhere; near one half it saturates, and training waits."""

    def build(self, proposal, energy, *, key):
        made = energy(key=key)
        if self.raised:
            made = Raised(made, jnp.asarray(self.raised))
        return TruncatedRejection(proposal, made, self.num)

    def aim(self, model, state, key):
        return _Rotated(model, key), {}

    def shared(self, model, state, key):
        return _Rotated(model, key)

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
        return _Rotated(self.evaluated(model), key)

    def evaluated(self, model):
        assert isinstance(model, IndexedTruncatedRejection)
        return TruncatedRejection(model.proposal, model.energy, model.num)


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
        # Now, rather than after the training.
        check_at_least("LARS: draws", self.draws, 1)
        check_at_least("LARS: evaluation_draws", self.evaluation_draws, 1)
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
    """The acceptance rate and its standard error, from `draws` proposals or a few more:
    whole blocks of them.
    """
    block = min(block, draws)
    count = -(-draws // block)

    def moments(key):
        accept = lambda key: model.accept(model.proposal.sample(key))
        a = jax.vmap(accept)(jr.split(key, block))
        return jnp.mean(a), jnp.mean(a**2)

    mean, square = jax.lax.map(moments, jr.split(key, count))
    rate = jnp.mean(mean)
    variance = jnp.maximum(jnp.mean(square) - rate**2, 0.0)
    return rate, jnp.sqrt(variance / (count * block))
