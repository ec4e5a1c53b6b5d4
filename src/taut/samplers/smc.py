"""Sequential Monte Carlo along an annealing path (Del Moral et al., 2006)."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from ..core.checks import check_at_least, check_scalar, particle_keys, split
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity
from ..core.gradient import graft, log_terms, stop, through
from ..core.kernel import AbstractKernel, Path
from ..core.particles import Particles
from ..core.sampler import AbstractSampler
from ..schedules import Betas, checked, values
from .annealed import require_exact
from .chain import move_keys, share, without_nan
from .resampling import AbstractResampling, Pool, Systematic

Z = TypeVar("Z")
_RESAMPLING = 0x72657361  # resampling t has the key `fold_in(key, _RESAMPLING + t)`


class Sequential(eqx.Module):
    """What happened on the way, with a leading axis of K lanes."""

    acceptance: Float[Array, "K moves"]
    size: Float[Array, "K moves"]  # effective sample size before each move
    invalid: Int[Array, " K"]  # points that were NaN; a NaN weight is set to zero


class SMC(AbstractSampler[Z]):
    """As `Annealed`, but particles are resampled by weight before they move.

    `threshold` keeps them while the effective sample size is at least that share of
    `num`. Of an estimated target, all particles see one function (for `run`).
    Gradients: as for `Annealed`, and none flow through the choice of ancestors.
    """

    proposal: AbstractDensity[Z]
    kernel: AbstractKernel
    betas: Betas
    resampling: AbstractResampling
    num: int = eqx.field(static=True)
    threshold: float | None = eqx.field(static=True)
    last_move: bool = eqx.field(static=True)

    def __init__(
        self,
        proposal: AbstractDensity[Z],
        kernel: AbstractKernel,
        betas: ArrayLike | Callable[[], Float[Array, " T"]],
        num: int,
        *,
        resampling: AbstractResampling | None = None,
        threshold: float | None = None,
        last_move: bool = True,
    ):
        check_at_least("SMC: num", num, 1)
        check_threshold(threshold)
        self.proposal, self.kernel, self.betas = proposal, kernel, checked(betas)
        self.resampling = Systematic() if resampling is None else resampling
        self.num, self.threshold, self.last_move = num, threshold, last_move

    def run(self, key, target):
        sampler, aim = self._held(target)
        return self._finish(key, target, sampler._walk(key, aim, None))

    def run_conditional(self, key, target, z, log_target):
        refuse_frozen((target, self), "`SMC.run_conditional`")
        require_exact(target)
        check_scalar("The target", log_target)
        bkey, rkey = split(key)
        sampler, aim = self._held(target)
        start = z if self.kernel.reparameterised else stop(z)
        retained = sampler._retained(bkey, aim, start)
        particles = self._finish(rkey, target, sampler._walk(rkey, aim, retained))
        put = lambda all, one: all.at[0].set(jnp.asarray(one).astype(all.dtype))
        given = jtu.tree_map(put, particles.value, z)
        log_targets = put(particles.log_target, log_target)
        # A NaN on the retained way back must not lower an upper end.
        log_weight = jnp.where(_broken(retained), jnp.inf, particles.log_weight)
        where = lambda particles: (
            particles.value,
            particles.log_target,
            particles.log_weight,
        )
        return eqx.tree_at(where, particles, (given, log_targets, log_weight))

    def _held(self, target):
        """Hold everything if gradients may not flow through the moves."""
        return (self, target) if self.kernel.reparameterised else stop((self, target))

    def _prepare(self, key, target):
        """The path, shares of the weight (none after the last), times of the moves."""
        betas = values(self.betas)
        path = Path(self.proposal, target, split(particle_keys(key, 1)[0])[1], betas)
        shares = jnp.diff(path.betas, prepend=0.0, append=1.0)
        return path, shares, jnp.arange(betas.shape[0] - (not self.last_move))

    def _retained(self, key, target, z):
        """A trajectory of lane 0 that ends in `z`: where it starts, and its moves."""
        path, _, times = self._prepare(key, target)

        def step(after, move):
            before, gap = self.kernel.backward(move[0], path, move[1], after)
            return before, (after, gap)

        end = self.kernel.init(path, path.ravel(z))
        return lax.scan(step, end, (move_keys(key, times), times), reverse=True)

    def _walk(self, key, target, retained):
        """The final points, pool and record of all lanes."""
        path, shares, times = self._prepare(key, target)
        lanes = particle_keys(key, self.num)
        weigh = lambda t, point: share(shares[t], point.log_gamma - point.log_q)

        def start(key):
            z = self.proposal.sample(split(key)[0])
            z = through(z, self.proposal) if self.kernel.reparameterised else z
            return self.kernel.init(path, path.ravel(z))

        def step(carry, x):
            points, pool = carry
            t, rkey, keys, kept = x
            pool, ancestors, size = pool.resample(
                rkey,
                self.resampling,
                self.threshold,
                retained=retained is not None,
                due=t < path.betas.shape[0] - 1,
            )
            points = jtu.tree_map(lambda leaf: leaf[ancestors], points)
            move = lambda key, point: self.kernel.forward(key, path, t, point)
            points, gaps = jax.vmap(move)(keys, points)
            points, gaps = put_first((points, gaps), kept)
            log_weight = without_nan(pool.log_weight + gaps + weigh(t + 1, points))
            return (points, Pool(pool.log_z, log_weight)), (points.acceptance, size)

        first, moves = (None, None) if retained is None else retained
        points = put_first(jax.vmap(start)(lanes), first)
        pool = Pool(jnp.zeros((), path.betas.dtype), without_nan(weigh(0, points)))
        keys = jax.vmap(move_keys, (0, None), 1)(lanes, times)
        rkeys = jax.vmap(jr.fold_in, (None, 0))(key, _RESAMPLING + times)
        carry, (acceptance, size) = lax.scan(
            step, (points, pool), (times, rkeys, keys, moves)
        )
        points, pool = carry
        size = jnp.broadcast_to(size, (self.num, *size.shape))
        record = Sequential(acceptance.T, size, points.invalid)
        z = jax.vmap(path.unravel)(points.position)
        return z, points.log_gamma, pool.log_z + pool.log_weight, record

    def _finish(self, key, target, ends):
        held = not self.kernel.reparameterised
        z, log_target, log_weight, record = stop(ends) if held else ends
        tkey = split(particle_keys(key, 1)[0])[1]
        fresh, log_likelihood = jax.vmap(lambda z: log_terms(target, tkey, z))(z)
        if held:
            log_target, log_weight = graft(log_target, fresh), graft(log_weight, fresh)
        return Particles(z, log_target, log_weight, log_likelihood, record)


def _broken(retained) -> Bool[Array, ""]:
    """Whether the densities or the moves of a retained trajectory are NaN anywhere."""
    first, (later, gaps) = retained
    numbers = (first.log_q, first.log_gamma, later.log_q, later.log_gamma, gaps)
    return jnp.any(jnp.stack([jnp.any(jnp.isnan(n)) for n in numbers]))


def check_threshold(threshold: float | None) -> None:
    if threshold is not None and not 0 < threshold <= 1:
        raise ValueError(
            "threshold is the share of the particles below which the effective sample "
            f"size asks for resampling, in (0, 1] or None for always; got {threshold}."
        )


def put_first(lanes, one):
    """Lane 0 is the retained one, if there is one."""
    if one is None:
        return lanes
    put = lambda all, one: all.at[0].set(one.astype(all.dtype))
    return jtu.tree_map(put, lanes, one)
