"""Sequential Monte Carlo in time: particle filters as samplers of trajectories."""

from collections.abc import Callable
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Float

from ..core.checks import check_at_least, check_scalar, particle_keys, split
from ..core.combine import Conditioned, refuse_frozen
from ..core.density import AbstractDensity, AbstractSequence
from ..core.gradient import through
from ..core.particles import Particles
from ..core.sampler import AbstractSampler
from .annealed import require_exact
from .chain import without_nan
from .resampling import AbstractResampling, Pool, Systematic
from .smc import check_threshold, put_first

S = TypeVar("S")
Y = TypeVar("Y")
_RESAMPLING = 0x72657361  # resampling before t has the key `fold_in(key, this + t)`


class Filtering(eqx.Module):
    """What happened on the way, with a leading axis of K lanes."""

    size: Float[Array, "K time"]  # effective sample size before each later state


class ParticleFilter(AbstractSampler[S], Generic[S, Y]):
    """Trajectories of a state-space model, with a proposal per step: `first(y)` for the
    first state, `later(z, y)` for one after `z`. Its lower end is the bound of
    variational SMC (FIVO: Maddison et al., 2017).

    Gradients flow through the draws of the proposals, none through the ancestors.
    """

    first: Callable[[Y], AbstractDensity[S]]
    later: Callable[[S, Y], AbstractDensity[S]]
    resampling: AbstractResampling
    num: int = eqx.field(static=True)
    threshold: float | None = eqx.field(static=True)

    def __init__(
        self,
        first: Callable[[Y], AbstractDensity[S]],
        later: Callable[[S, Y], AbstractDensity[S]],
        num: int,
        *,
        resampling: AbstractResampling | None = None,
        threshold: float | None = None,
    ):
        check_at_least("ParticleFilter: num", num, 1)
        check_threshold(threshold)
        self.first, self.later, self.num = first, later, num
        self.resampling = Systematic() if resampling is None else resampling
        self.threshold = threshold

    def run(self, key, target):
        return self._walk(key, *_sequence(target), None)[0]

    def run_conditional(self, key, target, z, log_target):
        refuse_frozen((target, self), "`ParticleFilter.run_conditional`")
        require_exact(target)
        log_target = check_scalar("The target", log_target)
        model, observed = _sequence(target)
        _check_length("given states", model.length, z)
        particles, broken = self._walk(key, model, observed, z)
        log_target = log_target.astype(particles.log_target.dtype)
        put = particles.log_target.at[0].set(log_target)
        # A NaN on the retained trajectory must not lower an upper end.
        log_weight = jnp.where(broken, jnp.inf, particles.log_weight)
        where = lambda particles: (particles.log_target, particles.log_weight)
        return eqx.tree_at(where, particles, (put, log_weight))

    def _walk(self, key, model, observed, retained):
        """The particles, and whether a weight of lane 0 was NaN on the way."""
        lanes = particle_keys(key, self.num)
        start, rest = _at(observed, 0), _at(observed, slice(1, None))
        kept = retained is not None

        def begin(key, given):
            log_target = lambda key, z: model.log_first(key, z, start)
            return _place(key, self.first(start), log_target, given)

        def step(carry, x):
            z, log_target, pool = carry
            t, rkey, observed, given = x
            pool, ancestors, size = pool.resample(
                rkey, self.resampling, self.threshold, retained=kept
            )
            before = jtu.tree_map(lambda leaf: leaf[ancestors], z)

            def go(key, before, given):
                log_target = lambda key, z: model.log_next(key, before, z, observed)
                return _place(key, self.later(before, observed), log_target, given)

            keys = jax.vmap(jr.fold_in, (0, None))(lanes, t)
            new = jax.vmap(lambda key, before: go(key, before, None))(keys, before)
            one = go(keys[0], _at(before, 0), given) if kept else None
            z, added, log_weight = put_first(new, one)
            log_weight = pool.log_weight + log_weight
            pool = Pool(pool.log_z, without_nan(log_weight))
            carry = z, log_target[ancestors] + added, pool
            return carry, (z, ancestors, size, jnp.isnan(log_weight[0]))

        keys = jax.vmap(jr.fold_in, (0, None))(lanes, 0)
        new = jax.vmap(lambda key: begin(key, None))(keys)
        one = begin(keys[0], _at(retained, 0)) if kept else None
        first, log_target, log_weight = put_first(new, one)
        pool = Pool(jnp.zeros((), log_weight.dtype), without_nan(log_weight))
        times = jnp.arange(1, jtu.tree_leaves(observed)[0].shape[0])
        rkeys = jax.vmap(jr.fold_in, (None, 0))(key, _RESAMPLING + times)
        given = _at(retained, slice(1, None))
        broken = jnp.isnan(log_weight[0])
        carry, (states, ancestors, size, nan) = lax.scan(
            step, (first, log_target, pool), (times, rkeys, rest, given)
        )
        _, log_target, pool = carry
        record = Filtering(jnp.broadcast_to(size, (self.num, *size.shape)))
        z = _trace(first, states, ancestors)
        log_weight = pool.log_z + pool.log_weight
        particles = Particles(z, log_target, log_weight, diagnostics=record)
        return particles, broken | jnp.any(nan)


def _place(key, q, log_target, given):
    """A state, drawn or given, its share of the target, its weight."""
    qkey, tkey = split(key)
    if given is None:
        z, log_q = q.sample_and_log_prob(qkey)
        z = through(z, q)
    else:
        z, log_q = given, q.log_prob(qkey, given)
    share = log_target(tkey, z)
    return z, share, share - log_q


def _trace(first, states, ancestors):
    """The whole trajectory of every lane, back along its ancestors."""

    def back(lanes, x):
        states, ancestors = x
        return ancestors[lanes], jtu.tree_map(lambda leaf: leaf[lanes], states)

    ends = jnp.arange(jtu.tree_leaves(first)[0].shape[0], dtype=ancestors.dtype)
    lanes, later = lax.scan(back, ends, (states, ancestors), reverse=True)
    join = lambda one, many: jnp.concatenate([one[lanes][None], many]).swapaxes(0, 1)
    return jtu.tree_map(join, first, later)


def _sequence(target):
    """The model and the observations behind a target over trajectories."""
    if not isinstance(target, Conditioned) or not isinstance(
        target.joint, AbstractSequence
    ):
        raise TypeError(
            "A particle filter needs a target that unfolds in time, `Conditioned(model,"
            " observations)` of a model such as `StateSpace`; got "
            f"{type(target).__name__}."
        )
    model, observed = target.joint, target.x
    _check_length("observations", model.length, observed)
    return model, observed


def _check_length(what, length, tree):
    lengths = {jnp.shape(leaf)[:1] for leaf in jtu.tree_leaves(tree)}
    if lengths != {(length,)}:
        raise ValueError(
            f"Expected {length} {what}, along the first axis of every array; met first "
            f"axes {sorted(lengths)}."
        )


def _at(tree, index):
    return jtu.tree_map(lambda leaf: leaf[index], tree)
