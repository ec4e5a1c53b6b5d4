"""Step sizes: a warm-up that ends in a frozen sampler, and the rule of AIS training."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import check_at_least
from ..core.density import AbstractTarget
from ..core.gradient import stop
from ..schedules import values
from .annealed import Annealed

Z = TypeVar("Z")
SHARES = tuple(float(share) for share in np.geomspace(1.0, 0.1, 12))


def adapt(
    step_size: Float[Array, "*T"],
    acceptance: Float[Array, "*batch moves"],
    *,
    goal: float = 0.6,
    grow: float = 1.002,
    shrink: float = 0.998,
    least: float = 1e-3,
    most: float = 0.3,
) -> Float[Array, "*T"]:
    """The rule of AIS training (Ding and Freedman's code), once per minibatch.

    `acceptance` is averaged over all axes but the last, its temperatures (and over
    these, too, for a single step size). A `last_move` that is off keeps its step size.
    """
    per_move = _per_move(acceptance)
    per_move = per_move if step_size.ndim else jnp.mean(per_move, keepdims=True)
    factor = jnp.where(per_move >= goal, grow, shrink).astype(step_size.dtype)
    flat = jnp.atleast_1d(step_size)
    moved = jnp.clip(flat[: factor.shape[0]] * factor, least, most)
    return flat.at[: factor.shape[0]].set(moved).reshape(step_size.shape)


def warm_up(
    key: PRNGKeyArray,
    sampler: Annealed[Z],
    target: AbstractTarget[Z],
    rounds: int = 30,
    *,
    goal: float = 0.65,
) -> Annealed[Z]:
    """`sampler` with a step size per temperature that was found in `rounds` runs.

    Use it with other keys from then on: weights of adapting chains bound nothing.
    """

    def acceptance(key, step_sizes):
        particles = with_step_sizes(sampler, step_sizes).run(key, target)
        return particles.diagnostics.acceptance

    start = jnp.broadcast_to(_step_size(sampler), values(sampler.betas).shape)
    found = tuned_step_sizes(key, acceptance, start, rounds, goal=goal)
    return with_step_sizes(sampler, found)


def tuned_step_sizes(
    key: PRNGKeyArray,
    acceptance: Callable[[PRNGKeyArray, Array], Float[Array, "*batch moves"]],
    step_sizes: Float[Array, " T"],
    rounds: int = 30,
    *,
    goal: float = 0.65,
) -> Float[Array, " T"]:
    """Robbins and Monro's rule on log step sizes, averaged over the second half.

    `acceptance` is any run: over a batch of data, say, with a proposal for each.
    """
    check_at_least("rounds", rounds, 2)

    def step(log_steps, x):
        i, gain = x
        seen = _per_move(acceptance(jr.fold_in(key, i), jnp.exp(log_steps)))
        change = gain * (seen - goal).astype(log_steps.dtype)
        log_steps = log_steps.at[: seen.shape[0]].add(change)
        return log_steps, log_steps

    start = jnp.log(stop(step_sizes))
    gains = 2.0 / jnp.arange(1, rounds + 1, dtype=start.dtype) ** 0.6
    _, path = lax.scan(step, start, (jnp.arange(rounds), gains))
    return stop(jnp.exp(jnp.mean(path[rounds // 2 :], axis=0)))


def steadied(
    key: PRNGKeyArray, sampler: Annealed[Z], target: AbstractTarget[Z], runs: int = 50
) -> Annealed[Z]:
    """`sampler` with its step sizes shortened as `steadiest` finds, for other keys."""
    check_at_least("runs", runs, 2)

    def log_weights(key, step_sizes):
        moved = with_step_sizes(sampler, step_sizes)
        run = lambda key: moved.run(key, target).log_weight
        return jax.vmap(run)(jr.split(key, runs)).ravel()

    return with_step_sizes(sampler, steadiest(key, log_weights, _step_size(sampler)))


def steadiest(
    key: PRNGKeyArray,
    log_weights: Callable[[PRNGKeyArray, Array], Float[Array, "*examples chains"]],
    step_sizes: Float[Array, "*T"],
    shares: tuple[float, ...] = SHARES,
) -> Float[Array, "*T"]:
    """`step_sizes` times the share of them at which log weights vary least.

    Steps that are accepted as often as wished can still lead round, back to where the
    trajectory began. Near equilibrium the variance is twice what the bound loses, and
    unlike the bound it is known from few chains.
    """

    def spread(i_share):
        i, share = i_share
        found = log_weights(jr.fold_in(key, i), share * step_sizes)
        return jnp.mean(jnp.var(found, axis=-1))

    tried = jnp.asarray(shares, step_sizes.dtype)
    spreads = lax.map(spread, (jnp.arange(len(shares)), tried))
    best = jnp.argmin(jnp.where(jnp.isfinite(spreads), spreads, jnp.inf))
    return stop(tried[best] * step_sizes)


def with_step_sizes(
    sampler: Annealed[Z], step_sizes: Float[Array, "*T"]
) -> Annealed[Z]:
    """The same sampler, moving by these."""
    _step_size(sampler)
    return eqx.tree_at(lambda s: s.kernel.step_size, sampler, step_sizes)


def _step_size(sampler: Annealed) -> Float[Array, "*T"]:
    step_size = getattr(sampler.kernel, "step_size", None)
    if step_size is None:
        raise TypeError(
            f"Expected a kernel with a `step_size`; {type(sampler.kernel).__name__} "
            "has none. Tune it with its own library, then build the sampler."
        )
    return step_size


def _per_move(acceptance: Float[Array, "*batch moves"]) -> Float[Array, " moves"]:
    return jnp.mean(acceptance, axis=tuple(range(acceptance.ndim - 1)))
