"""J-IWAE: K draws from one joint law with tractable marginals, dependence learned."""

import abc
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ...core.density import AbstractReparameterised
from ...densities.flow import FlowJAX
from ...densities.normal import Normal
from ...nn.hierarchical import Root
from ...nn.residual import ResidualEncoder
from ...samplers.multiple import MultipleImportance
from ...samplers.proposals import Correlated
from ...samplers.weights import AbstractWeights, PowerWeights
from .guides import AbstractGuide, Context, Image
from .settings import AbstractGuideSettings, Sizes


class AbstractMarginals(eqx.Module):
    """From a context to K marginals, stacked."""

    @abc.abstractmethod
    def __call__(self, context: Context) -> AbstractReparameterised:
        """The K laws, stacked on the first axis of every array."""


class Gaussians(AbstractMarginals):
    """K diagonal Gaussians: with correlated noise, one multivariate normal."""

    net: Root
    num: int = eqx.field(static=True)

    def __call__(self, context):
        loc, log_scale = (a.reshape(self.num, -1) for a in self.net(context))
        return eqx.filter_vmap(Normal)(loc, log_scale)


class Flows(AbstractMarginals):
    """Diagonal Gaussians, each followed by a flow that the context knows of."""

    start: Gaussians
    flows: FlowJAX

    def __call__(self, context):
        from flowjax.bijections import Affine, Chain

        def one(normal, arrays):
            start = Affine(normal.loc, jnp.exp(normal.log_scale))
            flow = eqx.combine(arrays, self.flows.static)
            return FlowJAX(Chain([start, flow]), context)

        return eqx.filter_vmap(one)(self.start(context), self.flows.arrays)


class JointGuide(AbstractGuide):
    """An encoder, K marginals, and the correlations of the noise behind their draws."""

    encoder: ResidualEncoder
    marginals: AbstractMarginals
    factor: Float[Array, "K K"]
    weights: AbstractWeights

    @property
    def proposals(self):
        return (self.encoder, self.marginals, self.factor)

    def towards(self, joint):
        return self

    def __call__(self, x: Image) -> MultipleImportance:
        marginals = self.marginals(self.encoder(x))
        return MultipleImportance(Correlated(marginals, self.factor), self.weights)


@dataclass(frozen=True)
class AbstractJoint(AbstractGuideSettings):
    """Draws that depend on each other through the noise that they are made from."""

    power: float = 1.0
    """Exponent of the weights: 0 equal, 1 balance heuristic."""

    @abc.abstractmethod
    def marginals(self, sizes: Sizes, *, key: PRNGKeyArray) -> Any:
        """The networks of the marginals."""

    def build(self, sizes, *, key):
        ekey, mkey = jr.split(key)
        return JointGuide(
            ResidualEncoder(sizes.context, key=ekey),
            self.marginals(sizes, key=mkey),
            jnp.eye(self.num),  # independent, to begin with
            PowerWeights(self.power),
        )


def _gaussians(num: int, sizes: Sizes, *, key: PRNGKeyArray) -> Gaussians:
    return Gaussians(Root(num * sizes.latent, sizes.context, key=key), num)


@dataclass(frozen=True)
class JIWAE(AbstractJoint):
    """One multivariate normal over the K latents (Klys et al., 2018)."""

    def marginals(self, sizes, *, key):
        return _gaussians(self.num, sizes, key=key)


@dataclass(frozen=True)
class FlowJIWAE(AbstractJoint):
    """The same with a planar flow of FlowJAX behind each marginal."""

    layers: int = 8
    """Planar layers of each flow."""
    width: int = 64
    """Hidden units that make a layer out of the context."""

    def marginals(self, sizes, *, key):
        gkey, fkey = jr.split(key)
        start = _gaussians(self.num, sizes, key=gkey)
        # Of the stacked flows only the arrays are used, and what is the same in all.
        flows = eqx.filter_vmap(lambda key: self.flow(sizes, key=key))
        return Flows(start, flows(jr.split(fkey, self.num)))

    def flow(self, sizes: Sizes, *, key: PRNGKeyArray) -> FlowJAX:
        """One flow, whose condition will be a context."""
        from flowjax.distributions import StandardNormal
        from flowjax.flows import planar_flow

        made = planar_flow(
            key,
            base_dist=StandardNormal((sizes.latent,)),
            cond_dim=sizes.context,
            flow_layers=self.layers,
            negative_slope=0.1,  # inverted in closed form
            invert=False,
            width_size=self.width,
            depth=1,
        )
        return FlowJAX(made.bijection, jnp.zeros(sizes.context))
