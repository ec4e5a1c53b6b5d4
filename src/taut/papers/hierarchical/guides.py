"""Guides: from an image to a sampler of its latents, parameters in plain sight."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ...core.combine import Joint
from ...core.density import AbstractDensity
from ...core.sampler import AbstractSampler
from ...densities.normal import Normal
from ...nn.hierarchical import Branches, Reverse, Root
from ...nn.residual import ResidualEncoder
from ...samplers.hierarchical import ByBranch, Hierarchical
from ...samplers.hierarchical_gradient import RootDraw
from ...samplers.importance import Importance
from ...samplers.importance_gradient import Draw
from ...samplers.weights import AbstractWeights

Image = Float[Array, "28 28 1"]
Context = Float[Array, " context"]


class BranchesAt(eqx.Module):
    """`q_j(. | z0, c)` for `num` branches; a net with one branch serves them all."""

    net: Branches
    context: Context
    num: int = eqx.field(static=True)

    def __call__(self, root: Float[Array, " size"]) -> Normal:
        loc, log_scale = self.net(root, self.context)
        if self.net.num == 1:
            shape = (self.num, *root.shape)
            loc, log_scale = (jnp.broadcast_to(a, shape) for a in (loc, log_scale))
        return eqx.filter_vmap(Normal)(loc, log_scale)


class OneBranch(eqx.Module):
    """`q(. | z0, c)`, of a net with one branch."""

    net: Branches
    context: Context

    def __call__(self, root: Float[Array, " size"]) -> Normal:
        loc, log_scale = self.net(root, self.context)
        return Normal(loc[0], log_scale[0])


class ReverseAt(eqx.Module):
    """`r(z0 | z_j, c)`."""

    net: Reverse
    context: Context

    def __call__(
        self, z: Float[Array, " size"], j: Int[Array, ""] | int = 0
    ) -> AbstractDensity:
        return Normal(*self.net(z, self.context, j))


class AbstractGuide(eqx.Module):
    """What a VAE proposes its latents with."""

    @property
    @abc.abstractmethod
    def proposals(self) -> Any:
        """The parts that are trained on the encoder's side."""

    @abc.abstractmethod
    def towards(self, joint: Joint) -> Callable[[Image], AbstractSampler]:
        """From an image to a sampler; some look at the model they explain."""


class PlainGuide(AbstractGuide):
    """IWAE: independent draws from one diagonal Gaussian."""

    encoder: ResidualEncoder
    root: Root
    num: int = eqx.field(static=True)
    draw: Draw = eqx.field(static=True)

    @property
    def proposals(self):
        return (self.encoder, self.root)

    def towards(self, joint):
        return self

    def __call__(self, x: Image) -> Importance:
        q = Normal(*self.root(self.encoder(x)))
        return Importance(q, self.num, self.draw)


class Hierarchy(eqx.Module):
    """From a context to H-IWAE; with one branch and roots apart, to IWAE (h)."""

    root: Root
    branches: Branches
    reverse: Reverse
    weights: AbstractWeights
    num: int = eqx.field(static=True)
    draw: RootDraw = eqx.field(static=True)
    shared: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if self.reverse.num not in (1, self.num):
            raise ValueError(
                f"Hierarchy: expected a reverse model of {self.num} branches, or of 1 "
                f"for all of them; got one of {self.reverse.num}."
            )

    def __call__(self, context: Context) -> Hierarchical:
        reverse = ReverseAt(self.reverse, context)
        return Hierarchical(
            Normal(*self.root(context)),
            BranchesAt(self.branches, context, self.num),
            reverse if self.reverse.num == 1 else ByBranch(reverse),
            self.num,
            self.weights,
            draw=self.draw,
            shared=self.shared,
        )


class HierarchicalGuide(AbstractGuide):
    """An encoder, and a hierarchy given what it makes of an image."""

    encoder: ResidualEncoder
    hierarchy: Hierarchy

    @property
    def proposals(self):
        # All but the reverse model, which is trained with the decoder.
        return (self.encoder, self.hierarchy.root, self.hierarchy.branches)

    def towards(self, joint):
        return self

    def __call__(self, x: Image) -> Hierarchical:
        return self.hierarchy(self.encoder(x))
