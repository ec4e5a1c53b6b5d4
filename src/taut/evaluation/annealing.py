"""Both ends by annealed importance sampling: bidirectional Monte Carlo.

Step sizes are tuned in a warm-up on other examples and then frozen: chains that adapt
while they weigh bound nothing.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import split
from ..core.combine import Conditioned, Marginal
from ..core.density import AbstractDensity, AbstractExact
from ..densities.normal import Normal
from ..kernels.hmc import HMC
from ..samplers.adaptation import steadiest, tuned_step_sizes
from ..samplers.annealed import Annealed, harmonic_log_z, reverse_chains
from ..samplers.importance import Importance
from ..schedules import checked
from .ends import End, example_keys, over_examples, weigh

LEAST_ACCEPTED = 0.05


class Annealing(eqx.Module):
    """One end of each example, with the mean acceptance of its chains."""

    end: End
    acceptance: Float[Array, " n"]
    invalid: Float[Array, " n"]  # chains that met a NaN: their weight is zero


class CollapsedError(RuntimeError):
    """Chains that do not move evaluate nothing."""


def refuse_collapsed(
    step_size: Float[Array, " T"], acceptance: Float[Array, " moves"]
) -> None:
    """Raise where a warm-up found no step size at which moves are accepted."""
    stuck = np.flatnonzero(~(np.asarray(acceptance) >= LEAST_ACCEPTED))
    if not len(stuck):
        return
    worst = stuck[np.argmin(np.nan_to_num(np.asarray(acceptance)[stuck]))]
    raise CollapsedError(
        f"{len(stuck)} of {len(acceptance)} moves are accepted less than "
        f"{LEAST_ACCEPTED:.0%} of the time after the warm-up; the worst is move "
        f"{worst}, accepted {float(acceptance[worst]):.1%} at a step size of "
        f"{float(step_size[worst]):.2g}. Look for infinite or NaN log densities and "
        "for latents of very different scales; start from a smaller `step_size`, use "
        "more temperatures, or evaluate by importance sampling (`--bound iwae`)."
    )


class AnnealedEnds(eqx.Module):
    """Chains from the guide (where it has a density) or the prior to the posterior.

    From a `Normal` they step in its standard deviations.
    """

    density: Marginal
    step_size: Float[Array, " T"]
    betas: Float[Array, " T"]
    chains: int = eqx.field(static=True)
    leapfrogs: int = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)  # chains at a time

    def __init__(
        self,
        density: AbstractDensity,
        betas: Any,
        chains: int = 16,
        leapfrogs: int = 10,
        step_size: float = 0.1,
        *,
        chunk: int | None = None,
    ):
        if not isinstance(density, Marginal) or not density.joint.exact:
            raise TypeError(
                "Annealing needs a latent-variable model whose joint density is exact: "
                "a `Marginal` over parts with closed forms. This one is a "
                f"{type(density).__name__} or holds an estimate. Use importance "
                "sampling (`--bound iwae`)."
            )
        self.density, self.betas = density, jnp.asarray(checked(betas), float)
        self.step_size = jnp.full(self.betas.shape, step_size)
        self.chains, self.leapfrogs, self.chunk = chains, leapfrogs, chunk

    def sampler(self, x: Any, step_size: Float[Array, " T"], num: int) -> Annealed:
        """The chains for one example."""
        guide = self.density.sampler(x)
        start = self.density.joint.prior  # type: ignore[attr-defined]
        if isinstance(guide, Importance) and isinstance(guide.proposal, AbstractExact):
            start = guide.proposal
        scale = None
        if isinstance(start, Normal):
            scale = jnp.exp(start.log_scale)
            # A guide that failed on one example has its chains counted as invalid.
            scale = jnp.where((scale > 0) & jnp.isfinite(scale), scale, 1.0)
        kernel = HMC(step_size, self.leapfrogs, scale)
        more = {"last_move": False, "chunk": self.chunk}
        return Annealed(start, kernel, self.betas, num, **more)

    def tuned(
        self, key: PRNGKeyArray, examples: np.ndarray, rounds: int = 40
    ) -> "AnnealedEnds":
        """With step sizes found on `examples`, which are not to be evaluated: first by
        acceptance, then shortened to where weights vary least.
        """

        @eqx.filter_jit
        def tune(ends, key, xs):
            def run(num):
                def one(key, x, step_size):
                    target = Conditioned(ends.density.joint, x)
                    return ends.sampler(x, step_size, num).run(key, target)

                batch = jax.vmap(one, (0, 0, None))
                return lambda key, size: batch(split(key, len(xs)), xs, size)

            acceptance = lambda *given: run(2)(*given).diagnostics.acceptance
            log_weights = lambda *given: run(4)(*given).log_weight
            akey, wkey, lkey = split(key, 3)
            found = tuned_step_sizes(akey, acceptance, ends.step_size, rounds)
            found = steadiest(wkey, log_weights, found)
            return found, jnp.mean(acceptance(lkey, found), axis=(0, 1))

        found, accepted = tune(self, key, jnp.asarray(examples))
        refuse_collapsed(found, accepted)
        return eqx.tree_at(lambda ends: ends.step_size, self, found)

    def lower(
        self,
        key: PRNGKeyArray,
        examples: np.ndarray,
        *,
        block: int = 50,
        start: int = 0,
    ) -> Iterator[Annealing]:
        """`log p(x)` from below, in blocks from example `start`."""

        @eqx.filter_jit
        def lower(ends, keys, xs):
            return over_examples(ends._lower)(keys, xs)

        for first in range(start, len(examples), block):
            xs = jnp.asarray(examples[first : first + block])
            yield lower(self, example_keys(key, first, len(xs)), xs)

    def both(
        self, key: PRNGKeyArray, count: int, *, block: int = 10, start: int = 0
    ) -> Iterator[tuple[Any, Annealing, Array, Array]]:
        """Examples simulated from the model with both ends, and with the upper end of
        the literature (the harmonic mean over reverse chains), which is another one.
        """

        @eqx.filter_jit
        def both(ends, keys):
            return over_examples(ends._both)(keys)

        for first in range(start, count, block):
            size = min(block, count - first)
            yield both(self, example_keys(key, first, size))

    def _lower(self, key, x):
        target = Conditioned(self.density.joint, x)
        particles = self.sampler(x, self.step_size, self.chains).run(key, target)
        record = particles.diagnostics
        bad = jnp.sum(record.invalid > 0)
        return Annealing(weigh(particles.log_weight), jnp.mean(record.acceptance), bad)

    def _both(self, key):
        jkey, lkey, ukey, hkey = split(key, 4)
        (z, x), log_joint = self.density.joint.sample_and_log_prob(jkey)
        target = Conditioned(self.density.joint, x)
        sampler = self.sampler(x, self.step_size, self.chains)
        upper = sampler.run_conditional(ukey, target, z, log_joint).log_z
        back = reverse_chains(hkey, sampler, target, z, log_joint, self.chains)
        return x, self._lower(lkey, x), upper, harmonic_log_z(back.log_weight)
