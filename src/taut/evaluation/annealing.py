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
from ..kernels.hmc import HMC
from ..samplers.adaptation import tuned_step_sizes
from ..samplers.annealed import Annealed, harmonic_log_z, reverse_chains
from ..samplers.importance import Importance
from .ends import End, example_keys, weigh


class Annealing(eqx.Module):
    """One end of each example, with the mean acceptance of its chains."""

    end: End
    acceptance: Float[Array, " n"]
    invalid: Float[Array, " n"]  # chains that met a NaN: their weight is zero


class AnnealedEnds(eqx.Module):
    """Chains from the guide (where it has a density) or the prior to the posterior."""

    density: Marginal
    step_size: Float[Array, " T"]
    betas: Float[Array, " T"]
    chains: int = eqx.field(static=True)
    leapfrogs: int = eqx.field(static=True)

    def __init__(
        self,
        density: AbstractDensity,
        betas: Any,
        chains: int = 16,
        leapfrogs: int = 10,
        step_size: float = 0.1,
    ):
        if not isinstance(density, Marginal) or not density.joint.exact:
            raise TypeError(
                "Annealing needs a latent-variable model whose joint density is exact: "
                "a `Marginal` over parts with closed forms. This one is a "
                f"{type(density).__name__} or holds an estimate. Use importance "
                "sampling (`--bound iwae`)."
            )
        self.density, self.betas = density, jnp.asarray(betas, float)
        self.step_size = jnp.full(self.betas.shape, step_size)
        self.chains, self.leapfrogs = chains, leapfrogs

    def sampler(self, x: Any, step_size: Float[Array, " T"], num: int) -> Annealed:
        """The chains for one example."""
        guide = self.density.sampler(x)
        start = self.density.joint.prior  # type: ignore[attr-defined]
        if isinstance(guide, Importance) and isinstance(guide.proposal, AbstractExact):
            start = guide.proposal
        kernel = HMC(step_size, self.leapfrogs)
        return Annealed(start, kernel, self.betas, num, last_move=False)

    def tuned(
        self, key: PRNGKeyArray, examples: np.ndarray, rounds: int = 40
    ) -> "AnnealedEnds":
        """With step sizes found on `examples`, which are not to be evaluated."""

        @eqx.filter_jit
        def tune(ends, key, xs):
            def acceptance(key, step_size):
                def one(key, x):
                    target = Conditioned(ends.density.joint, x)
                    sampler = ends.sampler(x, step_size, 2)
                    return sampler.run(key, target).diagnostics.acceptance

                return jax.vmap(one)(jax.random.split(key, len(xs)), xs)

            return tuned_step_sizes(key, acceptance, ends.step_size, rounds)

        found = tune(self, key, jnp.asarray(examples))
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
            return jax.vmap(ends._lower)(keys, xs)

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
            return jax.vmap(ends._both)(keys)

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
