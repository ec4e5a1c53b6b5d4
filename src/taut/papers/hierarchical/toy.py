"""The toy density of Figures 2, 3, 4 and 7: three proposals for one curved ring."""

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from ...core.checks import check_shape, split
from ...core.density import AbstractTarget
from ...core.sampler import AbstractSampler
from ...densities.normal import Normal
from ...nn.hierarchical import Root
from ...nn.proposals import LogWeights, Transition
from ...samplers.chained import Chained, Markov
from ...samplers.weights import NetworkWeights, PowerWeights
from ...train import Phase
from ..experiment import AbstractExperiment, Splits
from .settings import Sizes, gradient, hierarchy

LOG_Z = 3.30983  # by quadrature: tests/papers/test_hierarchical.py
SIZES = Sizes(latent=2, context=1, hidden=64)
CONTEXT = (1.0,)  # the same for every step: there are no data


class CurvedRing(AbstractTarget[Float[Array, "2"]]):
    """A ring, cut by a wave and two bars; `integral = exp(3.30983)`."""

    exact: ClassVar[bool] = True

    def log_prob(self, key, x):
        check_shape("CurvedRing", (2,), x)
        return log_ring(x)


def log_ring(z: Float[Array, "2"]) -> Float[Array, ""]:
    """The log of the unnormalised density, by the published code."""
    a, b = z
    radius = jnp.sqrt(jnp.sum(z**2) + 1e-12)  # a slope at the origin, too
    ring = 0.5 * ((radius / jnp.sqrt(2.0) - 2) / 0.5) ** 2
    bars = jnp.stack([(a - 2) / 0.6, jnp.sin(a) / 0.5, (a + b + 2.5) / 0.6])
    return jax.nn.logsumexp(-0.5 * bars**2) - ring


class Chain(eqx.Module):
    """Figure 2, top: every proposal looks at the draw before it."""

    root: Root
    transition: Transition
    num: int = eqx.field(static=True)

    def __call__(self, context: Float[Array, " context"]) -> Chained:
        first = Normal(*self.root(context))
        return Chained(first, Markov(Step(self.transition)), self.num)


class Step(eqx.Module):
    """`q(z' | z)`."""

    net: Transition

    def __call__(self, z: Float[Array, " size"]) -> Normal:
        return Normal(*self.net(z))


class _Evidence(AbstractTarget[Any]):
    """What a sampler makes of the ring, whatever the example."""

    sampler: AbstractSampler
    exact: ClassVar[bool] = False

    def log_prob(self, key, x):
        return self.sampler.run(key, CurvedRing()).log_z


@dataclass(frozen=True)
class AbstractProposals(abc.ABC):
    """How the K points are drawn and weighed."""

    num: int = 3
    """K, points."""

    @abc.abstractmethod
    def build(self, *, key: PRNGKeyArray) -> Any:
        """From a context to a sampler."""


@dataclass(frozen=True)
class Rooted(AbstractProposals):
    """H-IWAE, with the power heuristic."""

    power: float = 1.0
    """Exponent of the weights: 0 equal, 1 balance heuristic."""
    independent: bool = False
    """A root for every point, in training."""
    published_gradient: bool = False
    """The published doubly reparameterised rule, which is biased."""

    def build(self, *, key):
        draw = gradient(self.power, published=self.published_gradient)
        weights, shared = PowerWeights(self.power), not self.independent
        num = self.num
        return hierarchy(SIZES, num, num, weights, draw, shared=shared, key=key)


@dataclass(frozen=True)
class Weighed(AbstractProposals):
    """H-IWAE with weights that a network learns (Figure 7)."""

    def build(self, *, key):
        hkey, wkey = split(key)
        net = LogWeights(self.num, SIZES.latent, SIZES.hidden, key=wkey)
        weights, draw = NetworkWeights(net), gradient(1.0, published=False)
        num = self.num
        return hierarchy(SIZES, num, num, weights, draw, shared=True, key=hkey)


@dataclass(frozen=True)
class Walking(AbstractProposals):
    """A Markov chain of proposals."""

    def build(self, *, key):
        rkey, tkey = split(key)
        root = Root(SIZES.latent, SIZES.context, key=rkey)
        return Chain(root, Transition(SIZES.latent, SIZES.hidden, key=tkey), self.num)


Proposals: TypeAlias = Rooted | Weighed | Walking


@dataclass(frozen=True)
class AbstractObjective(abc.ABC):
    """What the proposals minimise, with `w = Zhat / Z`."""

    @abc.abstractmethod
    def loss(self, key: PRNGKeyArray, aimed: _Evidence) -> tuple[Array, Array]:
        """One draw of it, and of `log Zhat`."""


@dataclass(frozen=True)
class Bound(AbstractObjective):
    """`-E log w`, the KL divergence on the extended space."""

    def loss(self, key, aimed):
        log_z = aimed.log_prob(key, None)
        return -log_z, log_z


@dataclass(frozen=True)
class Variance(AbstractObjective):
    """`Var(log w)`, by two independent draws."""

    def loss(self, key, aimed):
        one, two = (aimed.log_prob(k, None) for k in split(key))
        return 0.5 * (one - two) ** 2, one


@dataclass(frozen=True)
class ChiSquare(AbstractObjective):
    """`Var(w)`, the chi-square divergence, by two independent draws."""

    def loss(self, key, aimed):
        log_z = [aimed.log_prob(k, None) for k in split(key)]
        one, two = (jnp.exp(value - LOG_Z) for value in log_z)
        return 0.5 * (one - two) ** 2, log_z[0]


@dataclass(frozen=True, kw_only=True)
class Toy(AbstractExperiment):
    """Proposals for the ring; there are no data."""

    proposals: Proposals
    """How points are drawn and weighed."""
    objective: Bound | Variance | ChiSquare = Bound()
    """What is minimised."""
    learning_rate: float = 5e-4
    """Of Adam."""

    def data(self):
        return Splits(blank, None, np.zeros((self.test_images, 1), "float32"), "none")

    def make(self, key, splits):
        return build(key, self.proposals)

    def state(self):
        return None

    def phases(self):
        def loss(model, context, x):
            aimed = _Evidence(model(jnp.array(CONTEXT)))
            value, log_z = self.objective.loss(context.key, aimed)
            return value, moments(log_z)

        return (Phase(loss, optax.adam(self.learning_rate)),)

    def density(self, model, state):
        return _Evidence(model(jnp.array(CONTEXT)))

    def shared(self, model, state, key):
        return self.density(model, state)


@eqx.filter_jit
def build(key: PRNGKeyArray, proposals: AbstractProposals) -> Any:
    """All networks in one compiled call."""
    return proposals.build(key=key)


def moments(log_z: Float[Array, ""]) -> dict[str, Array]:
    """Of `log Zhat` and of `w = Zhat / Z`: means over a batch give their variances."""
    w = jnp.exp(log_z - LOG_Z)
    return {"bound": log_z, "square": log_z**2, "w": w, "w_square": w**2}


def blank(key: PRNGKeyArray) -> Float[Array, "1"]:
    """An example that says nothing."""
    return jnp.zeros(1)
