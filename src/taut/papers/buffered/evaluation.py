"""The paper's numbers of one image: BSVI, SVI in two parts, and importance sampling.

ELBO* is the bound of SVI's last proposal, `ELBO* = -(Rec* + KL*)`: the reconstruction
from one sample, the divergence from the prior in closed form.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...core.checks import check_at_least, particle_keys, split
from ...core.combine import Conditioned
from ...core.numerics import log_mean_exp
from ...core.particles import map_particles
from ...densities.divergence import gaussian_divergence
from ...evaluation import example_keys, summary
from ...nn.batch_norm import Normalised, Statistics
from ...samplers.weights import EqualWeights
from ..experiment import Gather
from .inference import BSVI, Rules
from .model import BufferedModel, law


class Numbers(eqx.Module):
    """Of each image; `elbo = -(reconstruction + kl)`."""

    buffered: Float[Array, " n"]
    elbo: Float[Array, " n"]
    kl: Float[Array, " n"]
    reconstruction: Float[Array, " n"]
    importance: Float[Array, "n counts"]
    rejected: Float[Array, " n"]


@dataclass(frozen=True)
class Examination:
    """How far a trained model is examined."""

    steps: int = 500
    """k of BSVI and SVI."""
    counts: tuple[int, ...] = (500, 1000, 1500, 2000, 2500)
    """Samples of the importance-sampled bounds, increasing; they share their draws."""
    chunk: int = 100
    """Importance samples at once."""
    train_images: int = 10_000
    """How many training images are examined as well."""

    def __post_init__(self):
        check_at_least("Examination: steps", self.steps, 0)
        fewest = min(self.counts, default=0)
        check_at_least("Examination: the least of counts", fewest, 1)
        check_at_least("Examination: chunk", self.chunk, 1)
        check_at_least("Examination: train_images", self.train_images, 0)

    def numbers(
        self,
        key: PRNGKeyArray,
        model: BufferedModel,
        statistics: Statistics,
        rules: Rules,
        images: np.ndarray,
        *,
        block: int = 50,
        start: int = 0,
    ) -> Iterator[Numbers]:
        """In blocks from image `start`: image `i` has the key `fold_in(key, i)`."""

        @eqx.filter_jit
        def run(model, statistics, keys, xs):
            one = lambda key, x: self._one(key, model, statistics, rules, x)
            return jax.lax.map(lambda kx: one(*kx), (keys, xs))

        for first in range(start, len(images), block):
            xs = jnp.asarray(images[first : first + block])
            yield run(model, statistics, example_keys(key, first, len(xs)), xs)

    def _one(self, key, model, statistics, rules, x) -> Numbers:
        bkey, ikey = split(key)
        q = law(Normalised(model.encoder, statistics)(x))
        target = Conditioned(model.joint, x)
        buffer = BSVI(self.steps).sampler(q, EqualWeights(), rules, None)
        particles = buffer.run(bkey, target)
        pick = lambda tree: jax.tree.map(lambda a: a[-1], tree)
        arrays = eqx.filter(particles.diagnostics.proposal, eqx.is_array)
        last = eqx.combine(pick(arrays), q)
        kl = gaussian_divergence(last, model.prior)
        assert particles.log_likelihood is not None
        reconstruction = -particles.log_likelihood[-1]

        def weight(key):
            zkey, pkey = split(key)
            z, log_q = q.sample_and_log_prob(zkey)
            return target.log_prob(pkey, z) - log_q

        most = max(self.counts)
        keys = particle_keys(ikey, most)
        log_w = map_particles(weight, min(self.chunk, most))(keys)
        return Numbers(
            particles.log_z,
            -(reconstruction + kl),
            kl,
            reconstruction,
            jnp.stack([log_mean_exp(log_w[:n]) for n in self.counts]),
            jnp.sum(particles.diagnostics.rejected),
        )

    def report(
        self,
        key: PRNGKeyArray,
        model: BufferedModel,
        statistics: Statistics,
        rules: Rules,
        images: np.ndarray,
        gathered: Gather,
    ) -> dict[str, Any]:
        """Means over images, with the errors of their choice."""

        def blocks(start: int) -> Iterator[dict[str, Array]]:
            for block in self.numbers(
                key, model, statistics, rules, images, start=start
            ):
                yield {f.name: getattr(block, f.name) for f in fields(Numbers)}

        found = gathered("images", len(images), blocks)
        return {
            "images": len(images),
            f"bsvi-{self.steps}": summary(found["buffered"]),
            "elbo*": summary(found["elbo"]),
            "kl*": summary(found["kl"]),
            "rec*": summary(found["reconstruction"]),
            "rejected_steps": float(np.mean(found["rejected"])),
            "images_with_rejected_steps": int(np.sum(found["rejected"] > 0)),
        } | _named(self.counts, found["importance"])


def _named(counts: Sequence[int], values: np.ndarray) -> dict[str, Any]:
    return {f"iwae-{n}": summary(values[:, i]) for i, n in enumerate(counts)}
