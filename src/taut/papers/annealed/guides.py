"""What the guide follows, next to a decoder that follows the ends of chains."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optax

from ...core.combine import Conditioned
from ...core.gradient import stop
from ...objectives import elbo, wake
from ...samplers.importance import Importance
from ...samplers.importance_gradient import dreg
from ...train import Phase, only

# (model, context, x) -> what the decoder ascends, the ends of the chains, and aux.
Ascent = Callable[[Any, Any, Any], tuple[Any, Any, dict[str, Any]]]
Update = Callable[[Any, Any], Any]


class AbstractGuideLoss(abc.ABC):
    """How the guide is trained."""

    @abc.abstractmethod
    def phases(
        self, ascent: Ascent, update: Update, optimiser: optax.GradientTransformation
    ) -> tuple[Phase, ...]:
        """The decoder's phase, and what the guide needs besides."""


def _decoder(ascent: Ascent, update: Update, optimiser: Any) -> Phase:
    def loss(model, context, x):
        objective, _, aux = ascent(model, context, x)
        return -objective, aux

    return Phase(loss, optimiser, only(lambda m: m.likelihood), update, name="model")


@dataclass(frozen=True)
class OwnBound(AbstractGuideLoss):
    """Its ELBO, on the same minibatch, after the decoder's step (the paper's)."""

    def phases(self, ascent, update, optimiser):
        def loss(model, context, x):
            sampler = Importance(model.guide(x))
            particles = sampler.run(context.key, Conditioned(stop(model.joint), x))
            return -elbo(particles), {"elbo": elbo(particles)}

        guide = Phase(loss, optimiser, only(lambda m: m.guide), name="guide")
        return _decoder(ascent, update, optimiser), guide


@dataclass(frozen=True)
class Doubly(AbstractGuideLoss):
    """The importance-weighted bound by its doubly reparameterised gradient (ours)."""

    num: int = 5
    """Samples per example."""

    def phases(self, ascent, update, optimiser):
        def loss(model, context, x):
            sampler = Importance(model.guide(x), self.num, dreg)
            target = Conditioned(stop(model.joint), x)
            bound = sampler.run(context.key, target).log_z
            return -bound, {"bound": bound}

        guide = Phase(loss, optimiser, only(lambda m: m.guide), name="guide")
        return _decoder(ascent, update, optimiser), guide


@dataclass(frozen=True)
class ForwardKL(AbstractGuideLoss):
    """`sum_k probs_k log q(z_k)` at the ends: the forward KL to the posterior, and no
    gradient evaluation more. One phase: decoder and guide step together (ours).
    """

    def phases(self, ascent, update, optimiser):
        def loss(model, context, x):
            objective, particles, aux = ascent(model, context, x)
            reach = wake(context.key, model.guide(x), particles)
            return -objective - reach, aux | {"reach": reach}

        both = only(lambda m: (m.likelihood, m.guide))
        return (Phase(loss, optimiser, both, update, name="model"),)
