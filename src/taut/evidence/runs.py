"""Running a frozen sampler many times, and counting what went wrong."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..brief import brief
from ..core.density import AbstractTarget
from ..core.numerics import log_mean_exp
from ..core.particles import Particles
from ..core.sampler import AbstractSampler
from ..samplers.chain import Annealing
from ..samplers.smc import Sequential

BLOCK = 16


class Record(eqx.Module):
    """What is kept of runs; one leading axis of runs."""

    log_z: Float[Array, "*R"]
    log_weight: Float[Array, "*R K"]
    acceptance: Float[Array, "*R"]  # NaN where nothing moves
    invalid: Int[Array, "*R"]  # weights that are NaN, set to zero
    rejected: Int[Array, "*R"]  # moves to points that were NaN, never accepted
    moves: Int[Array, "*R"]
    infinite: Int[Array, "*R"]  # weights of +inf: the target has no finite bound there
    log_ratio: Float[Array, "*R K T"] | None


def run_many(
    keys: PRNGKeyArray,
    sampler: AbstractSampler,
    target: AbstractTarget,
    at_once: int = 1,
    jit: Callable = eqx.filter_jit,
) -> Record:
    """Independent runs, so many at once: the lower end, run by run."""
    block = lambda keys: _PROGRAMS[jit][0](keys, sampler, target, at_once)
    return _in_blocks(block, max(BLOCK, at_once), keys)


def run_conditional_many(
    keys: PRNGKeyArray,
    sampler: AbstractSampler,
    target: AbstractTarget,
    points: Float[Array, "R D"],
    at_once: int = 1,
    jit: Callable = eqx.filter_jit,
) -> Record:
    """Conditional runs, each from its own draw of the posterior: the upper end. Of
    samplers whose first particle is the one that was given.
    """

    def block(keys, points):
        return _PROGRAMS[jit][1](keys, sampler, target, points, at_once)

    return _in_blocks(block, max(BLOCK, at_once), keys, points)


def _in_blocks(block: Callable[..., Record], size: int, *args: Array) -> Record:
    """One compiled program for any number of runs."""
    starts = range(0, len(args[0]), size)
    parts = [block(*(a[i : i + size] for a in args)) for i in starts]
    return jtu.tree_map(lambda *leaves: np.concatenate(leaves), *parts)


def _runs(keys, sampler, target, at_once) -> Record:
    one = lambda key: _record(sampler.run(key, target))
    return jax.lax.map(one, keys, batch_size=at_once)


def _conditional_runs(keys, sampler, target, points, at_once) -> Record:
    def one(pair):
        key, z = pair
        log_target = target.log_prob(key, z)
        given = sampler.run_conditional(key, target, z, log_target)
        return _record(given, conditional=True)

    return jax.lax.map(one, (keys, points), batch_size=at_once)


_PROGRAMS = {
    jit: (jit(_runs), jit(_conditional_runs)) for jit in (eqx.filter_jit, brief)
}


def _record(particles: Particles, *, conditional: bool = False) -> Record:
    """A weight that is no number counts as zero, and an infinite one does in a lower
    end. An upper end says nothing rather than fall below the truth: infinite weights
    stay, and the given particle's is infinite if it is NaN.
    """
    weight = particles.log_weight
    bad = jnp.isnan(weight)
    infinite = jnp.isposinf(weight)
    if conditional:
        weight = weight.at[0].set(jnp.where(bad[0], jnp.inf, weight[0]))
        weight = jnp.where(jnp.isnan(weight), -jnp.inf, weight)
    else:
        weight = jnp.where(bad | infinite, -jnp.inf, weight)
    record = particles.diagnostics
    log_ratio = None
    acceptance, invalid = jnp.full((), jnp.nan), jnp.sum(bad)
    rejected = moves = jnp.zeros_like(invalid)
    if isinstance(record, Annealing | Sequential):
        acceptance = jnp.mean(jnp.nan_to_num(record.acceptance))
        # A chain of weight zero that met NaN may owe its weight to it.
        dead = jnp.isneginf(weight) & (record.invalid > 0)
        invalid = jnp.maximum(invalid, jnp.sum(dead))
        rejected = jnp.sum(record.invalid)
        moves = jnp.full_like(rejected, record.acceptance.size)
        log_ratio = record.log_ratio if isinstance(record, Annealing) else None
    return Record(
        log_mean_exp(weight),
        weight,
        acceptance,
        invalid,
        rejected,
        moves,
        jnp.sum(infinite),
        log_ratio,
    )
