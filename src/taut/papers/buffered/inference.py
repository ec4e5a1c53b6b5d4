"""How encoder and decoder are trained, and by which sampler each is judged."""

import abc
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ...core.checks import check_at_least
from ...core.combine import Conditioned
from ...core.numerics import log_sum_exp
from ...core.particles import Particles
from ...core.sampler import AbstractSampler
from ...densities.divergence import gaussian_divergence
from ...densities.log_variance import LogVarianceNormal
from ...objectives import annealed, decoupled
from ...samplers.clip import AbstractClip, Clip, ClipBatch
from ...samplers.importance import Importance
from ...samplers.refined import Refined
from ...samplers.refined_gradient import (
    RefinedDraw,
    decoupled as held_path,
    resampled,
    unrolled,
)
from ...samplers.weights import (
    AbstractWeights,
    EqualWeights,
    FixedWeights,
    SoftmaxWeights,
    scaled,
)
from ...train import EXAMPLES

Beta = Float[Array, ""] | None


@dataclass(frozen=True)
class Rules:
    """An SVI step as Kim et al. (2018) take it, on location and log variance."""

    rate: float = 1.0
    """Of a step along the gradient of a batch's mean."""
    momentum: float = 0.5
    """What remains of the last step."""
    max_norm: float = 1.0
    """Of that gradient, locations and log variances apart."""
    batch: int = 50
    """The batch that the mean is over: one example moves by `rate / batch`."""
    whole_batch: bool = False
    """Clip the whole batch at once, as published: no upper end then. Without, each
    example at the same strength, so that its steps do not depend on the others."""
    closed_kl: bool = False
    """Steps follow the KL term in closed form, as Kim et al. do, not at the draw."""

    def __post_init__(self):
        check_at_least("Rules: batch", self.batch, 1)
        if self.rate < 0 or self.momentum < 0:
            raise ValueError(
                "Rules: expected a rate and a momentum of at least 0; got "
                f"{self.rate} and {self.momentum}."
            )

    @property
    def step_size(self) -> float:
        """For the gradient of one example."""
        return self.rate / self.batch

    @property
    def clip(self) -> AbstractClip:
        """For gradients that were not divided by the batch."""
        if self.whole_batch:
            return ClipBatch(self.max_norm * self.batch, EXAMPLES)
        # `batch` examples of this norm each have the norm `max_norm batch` together.
        return Clip(self.max_norm * math.sqrt(self.batch))

    @property
    def divergence(self) -> Callable[[Any, Any], Float[Array, ""]] | None:
        """From the prior, where steps do not estimate it."""
        return gaussian_divergence if self.closed_kl else None


@dataclass(frozen=True)
class AbstractInference(abc.ABC):
    """A row of the tables."""

    @abc.abstractmethod
    def weights(self) -> AbstractWeights:
        """Where the buffer's weights start; they are part of the model."""

    @abc.abstractmethod
    def of_steps(self, key: PRNGKeyArray, latent: int) -> Any:
        """What is learned of the steps, if anything; it is part of the model too."""

    @abc.abstractmethod
    def sampler(
        self,
        q: LogVarianceNormal,
        weights: AbstractWeights,
        rules: Rules,
        beta: Beta,
        learned: Any = None,
    ) -> AbstractSampler:
        """The sampler whose bound the decoder follows."""

    @abc.abstractmethod
    def objective(
        self,
        key: PRNGKeyArray,
        sampler: Any,  # as `sampler` made it
        target: Conditioned,
        q: LogVarianceNormal,
        beta: Beta,
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """What is ascended, and bounds (never annealed) for the record."""


@dataclass(frozen=True)
class Amortised(AbstractInference):
    """VAE, or with more samples IWAE: encoder and decoder on one bound."""

    num: int = 1
    """Samples."""

    def weights(self):
        return EqualWeights()

    def of_steps(self, key, latent):
        return None

    def sampler(self, q, weights, rules, beta, learned=None):
        return Importance(q, self.num)

    def objective(self, key, sampler, target, q, beta):
        particles = sampler.run(key, target)
        first = jnp.mean(particles.log_weight)
        ends = {"bound": particles.log_z, "amortised": first}
        return annealed(particles, 1.0 if beta is None else beta), ends


@dataclass(frozen=True)
class AbstractRefining(AbstractInference):
    """The encoder follows its own ELBO, the decoder the bound of a refinement."""

    steps: int = 9
    """k, steps of SVI; there are k + 1 proposals."""

    @abc.abstractmethod
    def start(self, q: LogVarianceNormal) -> LogVarianceNormal:
        """The first proposal."""

    @property
    @abc.abstractmethod
    def draw(self) -> RefinedDraw:
        """The decoder's gradient."""

    @property
    @abc.abstractmethod
    def doubled(self) -> bool:
        """Are the samples that weigh drawn anew?"""

    def of_steps(self, key, latent):
        return None

    def sampler(self, q, weights, rules, beta, learned=None):
        return Refined(
            self.start(q),
            rules.step_size,
            self.steps,
            weights,
            momentum=rules.momentum,
            clip=rules.clip,
            divergence=rules.divergence,
            beta=beta,
            double=self.doubled,
            draw=self.draw,
        )

    def objective(self, key, sampler, target, q, beta):
        return decoupled_bounds(key, sampler, target, q, beta)


@dataclass(frozen=True)
class SVI(AbstractRefining):
    """The last proposal alone."""

    steps: int = 10
    scratch: bool = False
    """Start from the prior rather than from the encoder."""

    def start(self, q):
        if not self.scratch:
            return q
        return LogVarianceNormal(jnp.zeros_like(q.loc), jnp.zeros_like(q.log_variance))

    @property
    def draw(self):
        return resampled  # of one weight: exact

    @property
    def doubled(self):
        return False

    def weights(self):
        return FixedWeights((0.0,) * self.steps + (1.0,))


@dataclass(frozen=True)
class BSVI(AbstractRefining):
    """All proposals, weighed."""

    double: bool = False
    """DS: the samples that weigh are not those that move."""
    learned: bool = False
    """Pi: one vector of weights for all examples, trained on the bound."""
    indices: int | None = None
    """SIR: samples, chosen by weight, that give the decoder's gradient; all without."""

    def start(self, q):
        return q

    @property
    def draw(self):
        if self.indices is None:
            return held_path
        if self.indices == 1:
            return resampled
        return functools.partial(resampled, indices=self.indices)

    @property
    def doubled(self):
        return self.double

    def weights(self):
        if not self.learned:
            return EqualWeights()
        return SoftmaxWeights(jnp.zeros(self.steps + 1))


def decoupled_bounds(
    key: PRNGKeyArray,
    sampler: Refined,
    target: Conditioned,
    q: LogVarianceNormal,
    beta: Beta,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """As published: the decoder on the sampler's bound, the encoder on its ELBO."""
    own = Refined(q, 0.0, 0, beta=beta, draw=unrolled)
    value, particles = decoupled(key, target.joint, sampler, own, target.x)
    return value, bounds_on_the_way(particles, sampler.weights)


def bounds_on_the_way(
    particles: Particles[Any], weights: AbstractWeights
) -> dict[str, Array]:
    """The buffered bound, that of the last proposal and that of the first, from the
    same draws; where the buffer's weight lies; and how many steps were refused.
    """
    density = eqx.filter_vmap(lambda q, z: q.log_density(z))
    log_q = density(particles.diagnostics.proposal, particles.value)
    log_w = particles.log_target - log_q
    log_pi = weights(log_w.shape[0], None)
    return {
        "bound": log_sum_exp(scaled(log_pi, log_w)),
        "svi": log_w[-1],
        "amortised": log_w[0],
        "weight_average": jnp.sum(jnp.exp(log_pi) * jnp.arange(log_w.shape[0])),
        "rejected": jnp.sum(particles.diagnostics.rejected),
    }
