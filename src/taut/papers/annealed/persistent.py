"""Chains that are kept: every training example goes on where it was left.

`fit` hands the whole gradient-free state to every example and gives back the batch mean
of what each reports. So the ends of all chains are the state, an example picks its own
by its number, and what a batch reports is the batch itself, gathered over the axis that
`fit` names: the mean over equal copies of it. `update` then writes the rows back.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ...core.checks import particle_keys, split
from ...core.combine import Conditioned
from ...core.gradient import stop
from ...core.kernel import Path
from ...core.particles import Particles
from ...kernels.hmc import HMC
from ...samplers.chain import move_keys
from ...train import EXAMPLES
from ..experiment import Splits
from .inference import AIS, AbstractInference, follow


class Numbered(eqx.Module):
    """An example, and which one of the training set it is."""

    image: Array
    row: Int[Array, ""]


class Kept(eqx.Module):
    """Step sizes, and where the chains of every training example ended: NaN before the
    first visit.
    """

    step_size: Float[Array, " moves"]
    ends: Float[Array, "examples K latent"]


@dataclass(frozen=True)
class Persistent(AbstractInference):
    """Every move targets the posterior, from where the example's chains ended when it
    was last visited: at first from the guide. Chains weigh the same.
    """

    chains: AIS = AIS()
    """Length and moves of one visit."""
    examples: int = 60_000
    """Training examples, each with its own chains."""
    latent: int = 50
    """Dimensions of the latent."""
    numbered: ClassVar[bool] = True

    @property
    def cost(self):
        return replace(self.chains, num=self.num).cost

    def state(self):
        ends = jnp.full((self.examples, self.num, self.latent), jnp.nan)
        return Kept(self.chains.state(), ends)

    def phases(self, optimiser):
        def ascent(model, context, x):
            row, kept = x.row, context.state
            ends = self._visit(model, context.key, x.image, kept, kept.ends[row])
            mean = jnp.mean(ends.log_target)
            gathered = lambda a: jax.lax.all_gather(a, EXAMPLES)
            acceptance = jnp.mean(ends.diagnostics.acceptance, axis=0)
            aux = {"joint": mean, "acceptance": acceptance}
            # Means of float32 copies keep whole numbers only after rounding.
            aux |= {"rows": gathered(row.astype(ends.log_target.dtype))}
            return mean, ends, aux | {"ends": gathered(stop(ends.value))}

        def update(kept, aux):
            rows = jnp.round(aux["rows"]).astype(jnp.int32)
            ends = kept.ends.at[rows].set(aux["ends"].astype(kept.ends.dtype))
            return Kept(follow(kept.step_size, aux), ends)

        phases = self.chains.guide_loss.phases(ascent, update, optimiser)
        return phases[0], *(_of_images(phase) for phase in phases[1:])

    def _visit(self, model, key, x, kept, before):
        """The chains of one example, moved on at its posterior."""
        if before.shape != (self.num, self.latent):
            raise ValueError(
                f"Expected the ends of {self.num} chains in {self.latent} dimensions; "
                f"got an array of shape {before.shape}. Set `inference.num` and "
                "`inference.latent` as they are in the model."
            )
        guide, target = stop(model.guide)(x), Conditioned(model.joint, x)
        times = jnp.arange(self.chains.temperatures - 1)
        kernel = HMC(kept.step_size, self.chains.leapfrogs)
        held = stop(target)

        def chain(key, before):
            path = Path(guide, held, key, jnp.ones(len(times)))
            fresh = path.ravel(guide.sample(split(key)[0]))
            start = jnp.where(jnp.isnan(before), fresh, before.astype(fresh.dtype))

            def step(state, move):
                state, _ = kernel.forward(move[0], path, move[1], state)
                return state, state.acceptance

            moves = move_keys(key, times), times
            state, acceptance = jax.lax.scan(step, kernel.init(path, start), moves)
            return path.unravel(stop(state.position)), acceptance

        keys = particle_keys(key, self.num)
        z, acceptance = jax.vmap(chain)(keys, before)
        log_target = jax.vmap(target.log_prob)(keys, z)
        alike = jnp.zeros_like(stop(log_target))
        return Particles(z, log_target, alike, diagnostics=Moves(stop(acceptance)))


class Moves(eqx.Module):
    """What happened at a visit."""

    acceptance: Float[Array, "K moves"]


def _of_images(phase: Any) -> Any:
    """The same for numbered examples."""
    return replace(phase, loss=lambda m, c, x: phase.loss(m, c, x.image))


def numbered(splits: Splits) -> Splits:
    """Training examples of grey bytes, each followed by its number; they reach the
    losses as `Numbered`. Others are left as they are.
    """
    images = splits.train
    if callable(images) or images.dtype != np.uint8 or splits.prepare is None:
        raise TypeError(
            "Persistent chains need training images of grey bytes that are binarised "
            "as they are read; got other data."
        )
    shape, size, prepare = images.shape[1:], images[0].size, splits.prepare
    number = np.arange(len(images), dtype="<u4").view(np.uint8).reshape(-1, 4)
    packed = np.concatenate([images.reshape(len(images), -1), number], axis=1)

    def unpack(key: PRNGKeyArray, x: Array) -> Numbered:
        image = prepare(key, x[:size].reshape(shape))
        weights = jnp.array([1, 2**8, 2**16, 2**24])
        return Numbered(image, jnp.sum(x[size:] * weights).astype(jnp.int32))

    # What evaluations are tuned on: training images, as they are of other rows.
    chosen = jr.choice(jr.key(1), len(images), (min(1000, len(images)),), replace=False)
    tuning = jax.vmap(prepare)(jr.split(jr.key(1), len(chosen)), images[chosen])
    return replace(splits, train=packed, prepare=unpack, valid=np.asarray(tuning))
