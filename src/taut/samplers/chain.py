"""One annealed chain: from the proposal to the target, or back."""

from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..core.checks import split
from ..core.density import AbstractDensity, AbstractTarget
from ..core.gradient import through
from ..core.kernel import AbstractKernel, Path

Z = TypeVar("Z")
_MOVES = 0x6D6F7665  # move t of a chain has the key `fold_in(key, _MOVES + t)`


class Annealing(eqx.Module):
    """What happened on the way; with a leading axis of K chains."""

    acceptance: Float[Array, "*K moves"]
    log_ratio: Float[Array, "*K T"]  # log gamma - log q, where its share was weighed
    invalid: Int[Array, "*K"]  # points that were NaN; see `without_nan` for weights


class Chain(eqx.Module, Generic[Z]):
    """What forward and reverse chains have in common."""

    proposal: AbstractDensity[Z]
    kernel: AbstractKernel
    target: AbstractTarget[Z]
    betas: Float[Array, " T"]
    last_move: bool = eqx.field(static=True)

    def forward(
        self, key: PRNGKeyArray
    ) -> tuple[Z, Float[Array, ""], Float[Array, ""], Annealing]:
        """The end, log gamma there, the log weight, and what happened."""
        path, shares, moves = self._prepare(key)
        z = self.proposal.sample(split(key)[0])
        z = through(z, self.proposal) if self.kernel.reparameterised else z
        state = self.kernel.init(path, path.ravel(z))

        def step(carry, move):
            state, log_weight = carry
            key, t = move
            log_ratio = state.log_gamma - state.log_q
            log_weight = log_weight + share(shares[t], log_ratio)
            state, gap = self.kernel.forward(key, path, t, state)
            return (state, log_weight + gap), (state.acceptance, log_ratio)

        carry = state, jnp.zeros_like(state.log_q)
        (state, log_weight), (acceptance, log_ratio) = lax.scan(step, carry, moves)
        if not self.last_move:
            last = state.log_gamma - state.log_q
            log_weight = log_weight + share(shares[-1], last)
            log_ratio = jnp.concatenate([log_ratio, last[None]])
        record = Annealing(acceptance, log_ratio, state.invalid)
        z = path.unravel(state.position)
        return z, state.log_gamma, without_nan(log_weight), record

    def backward(self, key: PRNGKeyArray, z: Z) -> tuple[Float[Array, ""], Annealing]:
        """The log weight of a chain that ended in `z`: reversed kernels, last first."""
        path, shares, moves = self._prepare(key)
        state = self.kernel.init(path, path.ravel(z))
        log_weight = jnp.zeros_like(state.log_q)
        first = state.log_gamma - state.log_q
        if not self.last_move:
            log_weight = log_weight + share(shares[-1], first)

        def step(carry, move):
            state, log_weight = carry
            key, t = move
            state, gap = self.kernel.backward(key, path, t, state)
            log_ratio = state.log_gamma - state.log_q
            log_weight = log_weight + gap + share(shares[t], log_ratio)
            return (state, log_weight), (state.acceptance, log_ratio)

        carry, (acceptance, log_ratio) = lax.scan(
            step, (state, log_weight), moves, reverse=True
        )
        if not self.last_move:
            log_ratio = jnp.concatenate([log_ratio, first[None]])
        state, log_weight = carry
        record = Annealing(acceptance, log_ratio, state.invalid)
        # Forward chains of weight zero are never selected: no such chain led to `z`.
        return jnp.where(jnp.isnan(log_weight), jnp.inf, log_weight), record

    def _prepare(self, key):
        """The path of the chain with this key, shares of the weight, and moves."""
        path = Path(self.proposal, self.target, split(key)[1], self.betas)
        times = jnp.arange(self.betas.shape[0] - (not self.last_move))
        moves = move_keys(key, times), times
        return path, jnp.diff(path.betas, prepend=0.0), moves


def move_keys(key: PRNGKeyArray, times: Int[Array, " moves"]) -> PRNGKeyArray:
    """One for each move of the chain whose key this is."""
    return jax.vmap(jr.fold_in, (None, 0))(key, _MOVES + times)


def share(step: Float[Array, "*K"], log_ratio: Float[Array, "*K"]) -> Array:
    """`(b_t - b_{t-1}) (log gamma - log q)`; infinity times zero is zero here."""
    return jnp.where(step == 0, 0.0, step * log_ratio)


def without_nan(log_weight: Float[Array, "*K"]) -> Float[Array, "*K"]:
    """A weight that is NaN is set to zero (that of a reverse chain, to infinity)."""
    return jnp.where(jnp.isnan(log_weight), -jnp.inf, log_weight)
