"""Running a frozen sampler many times, and counting what went wrong."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..core.density import AbstractTarget
from ..core.numerics import log_mean_exp
from ..core.particles import Particles
from ..core.sampler import AbstractSampler
from ..samplers.chain import Annealing

BLOCK = 16


class Record(eqx.Module):
    """What is kept of runs; one leading axis of runs."""

    log_z: Float[Array, "*R"]
    log_weight: Float[Array, "*R K"]
    acceptance: Float[Array, "*R"]  # NaN where nothing moves
    invalid: Int[Array, "*R"]  # particles that met NaN
    infinite: Int[Array, "*R"]  # weights of +inf: the target has no finite bound there
    log_ratio: Float[Array, "*R K T"] | None


def run_many(
    keys: PRNGKeyArray, sampler: AbstractSampler, target: AbstractTarget
) -> Record:
    """Independent runs: the lower end, run by run."""
    return _in_blocks(lambda keys: _runs(keys, sampler, target), keys)


def run_conditional_many(
    keys: PRNGKeyArray,
    sampler: AbstractSampler,
    target: AbstractTarget,
    points: Float[Array, "R D"],
) -> Record:
    """Conditional runs, each from its own draw of the posterior: the upper end. Of
    samplers whose first particle is the one that was given.
    """
    block = lambda keys, points: _conditional_runs(keys, sampler, target, points)
    return _in_blocks(block, keys, points)


def _in_blocks(block: Callable[..., Record], *args: Array) -> Record:
    """One compiled program for any number of runs."""
    starts = range(0, len(args[0]), BLOCK)
    parts = [block(*(a[i : i + BLOCK] for a in args)) for i in starts]
    return jtu.tree_map(lambda *leaves: np.concatenate(leaves), *parts)


@eqx.filter_jit
def _runs(keys, sampler, target) -> Record:
    return jax.lax.map(lambda key: _record(sampler.run(key, target)), keys)


@eqx.filter_jit
def _conditional_runs(keys, sampler, target, points) -> Record:
    def one(pair):
        key, z = pair
        log_target = target.log_prob(key, z)
        given = sampler.run_conditional(key, target, z, log_target)
        return _record(given, conditional=True)

    return jax.lax.map(one, (keys, points))


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
    if record is not None:
        acceptance = jnp.mean(jnp.nan_to_num(record.acceptance))
        invalid = jnp.maximum(invalid, jnp.sum(record.invalid > 0))
        log_ratio = record.log_ratio if isinstance(record, Annealing) else None
    return Record(
        log_mean_exp(weight), weight, acceptance, invalid, jnp.sum(infinite), log_ratio
    )
