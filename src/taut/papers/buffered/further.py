"""Beyond the paper: other steps, and steps that are learned, in the same rows."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax.numpy as jnp

from ...core.checks import split
from ...core.combine import Conditioned
from ...core.gradient import stop
from ...densities.log_variance import LogVarianceNormal
from ...samplers.refined import Refined
from ...samplers.refined_gradient import resampled, unrolled
from ...samplers.updates import LearnedUpdate, NaturalAscent
from ...samplers.weights import EqualWeights, FixedWeights
from .inference import AbstractInference, bounds_on_the_way, decoupled_bounds


@dataclass(frozen=True)
class NaturalBSVI(AbstractInference):
    """BSVI-SIR with natural gradients, on the natural parameters of the guide."""

    steps: int = 9
    """k, steps of SVI; there are k + 1 proposals."""
    rate: float = 0.01
    """Of a step; at one, the guide of a Gaussian posterior would be there at once."""

    def weights(self):
        return EqualWeights()

    def of_steps(self, key, latent):
        return None

    def sampler(self, q, weights, rules, beta, learned=None):
        return Refined(
            q,
            self.rate,
            self.steps,
            weights,
            clip=rules.clip,
            divergence=rules.divergence,
            update=NaturalAscent(LogVarianceNormal),
            beta=beta,
            draw=resampled,
        )

    def objective(self, key, sampler, target, q, beta):
        return decoupled_bounds(key, sampler, target, q, beta)


@dataclass(frozen=True)
class IterativeBSVI(AbstractInference):
    """BSVI-SIR with the steps of a network (iterative amortised inference: Marino et
    al., 2018), which follows the bound of its own steps.
    """

    steps: int = 3
    """k, steps of the network; there are k + 1 proposals."""
    width: int = 128
    """Hidden units of the network, in one layer."""

    def weights(self):
        return EqualWeights()

    def of_steps(self, key, latent):
        net = eqx.nn.MLP(4 * latent, 4 * latent, self.width, 1, key=key)
        # Gates begin nearly closed: the first proposals are the encoder's.
        shut = jnp.concatenate([jnp.full(2 * latent, -3.0), jnp.zeros(2 * latent)])
        return LearnedUpdate(eqx.tree_at(lambda n: n.layers[-1].bias, net, shut))

    def sampler(self, q, weights, rules, beta, learned=None):
        assert learned is not None
        return Refined(
            q,
            1.0,
            self.steps,
            weights,
            divergence=rules.divergence,
            update=learned,
            beta=beta,
            draw=resampled,
        )

    def objective(self, key, sampler, target, q, beta):
        return _with_own_steps(key, sampler, target, q, beta)


@dataclass(frozen=True)
class AdaptedBSVI(AbstractInference):
    """BSVI-SIR with a learned step size for each step, on the bound of the steps."""

    steps: int = 9
    """k, steps of SVI; there are k + 1 proposals."""

    def weights(self):
        return EqualWeights()

    def of_steps(self, key, latent):
        return jnp.zeros(self.steps)  # logs, against the rate of the rules

    def sampler(self, q, weights, rules, beta, learned=None):
        assert learned is not None
        return Refined(
            q,
            rules.step_size * jnp.exp(learned),
            self.steps,
            weights,
            momentum=rules.momentum,
            clip=rules.clip,
            divergence=rules.divergence,
            beta=beta,
            draw=resampled,
        )

    def objective(self, key, sampler, target, q, beta):
        return _with_own_steps(key, sampler, target, q, beta)


@dataclass(frozen=True)
class SemiAmortised(AbstractInference):
    """Encoder and decoder on SVI's bound, through its steps (Kim et al., 2018)."""

    steps: int = 10
    """k', steps of SVI."""

    def weights(self):
        return FixedWeights((0.0,) * self.steps + (1.0,))

    def of_steps(self, key, latent):
        return None

    def sampler(self, q, weights, rules, beta, learned=None):
        return Refined(
            q,
            rules.step_size,
            self.steps,
            weights,
            momentum=rules.momentum,
            clip=rules.clip,
            divergence=rules.divergence,
            beta=beta,
            draw=unrolled,
        )

    def objective(self, key, sampler, target, q, beta):
        particles = sampler.run(key, target)
        return particles.log_z, bounds_on_the_way(particles, sampler.weights)


def _with_own_steps(key, sampler, target, q, beta):
    """The published objective; and what is learned of the steps, on their own bound
    with model and encoder held.
    """
    okey, skey = split(key)
    value, told = decoupled_bounds(okey, sampler, target, q, beta)
    own = replace(
        sampler, proposal=stop(q), weights=stop(sampler.weights), draw=unrolled
    )
    held = Conditioned(stop(target.joint), target.x)
    return value + own.run(skey, held).log_z, told
