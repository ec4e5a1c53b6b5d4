"""The guides as settings: what a row of the tables calls a model."""

import abc
from dataclasses import dataclass
from typing import Any

import jax.random as jr
from jaxtyping import PRNGKeyArray

from ...core.checks import check_at_least
from ...nn.hierarchical import Branches, Reverse, Root
from ...nn.residual import ResidualEncoder
from ...samplers.hierarchical_gradient import (
    RootDraw,
    root_dreg,
    root_dreg_published,
    root_reparam,
)
from ...samplers.importance_gradient import dreg
from ...samplers.weights import AbstractWeights, PowerWeights
from .guides import HierarchicalGuide, Hierarchy, PlainGuide


@dataclass(frozen=True)
class Sizes:
    """Dimensions of the networks."""

    latent: int = 32
    """Of z and of the root."""
    context: int = 450
    """What the encoder makes of an image."""
    hidden: int = 1920
    """Of branches and reverse model."""


@dataclass(frozen=True)
class AbstractGuideSettings(abc.ABC):
    """How the latents of an image are proposed and weighed."""

    num: int = 5
    """K, importance samples in training."""

    @abc.abstractmethod
    def build(self, sizes: Sizes, *, key: PRNGKeyArray) -> Any:
        """From an image to a sampler."""


@dataclass(frozen=True)
class IWAE(AbstractGuideSettings):
    """A diagonal Gaussian, doubly reparameterised."""

    def build(self, sizes, *, key):
        ekey, rkey = jr.split(key)
        encoder = ResidualEncoder(sizes.context, key=ekey)
        root = Root(sizes.latent, sizes.context, key=rkey)
        return PlainGuide(encoder, root, self.num, dreg)


@dataclass(frozen=True)
class HIWAE(AbstractGuideSettings):
    """Draws that share a root, each from a conditional of its own."""

    power: float = 0.0
    """Exponent of the weights: 0 equal, 1 balance heuristic."""
    independent: bool = False
    """Ablation: a root for every draw."""
    published_gradient: bool = False
    """The published doubly reparameterised rule, which is biased."""

    def build(self, sizes, *, key):
        ekey, hkey = jr.split(key)
        draw = gradient(self.power, published=self.published_gradient)
        parts = hierarchy(
            sizes,
            self.num,
            self.num,
            PowerWeights(self.power),
            draw,
            shared=not self.independent,
            key=hkey,
        )
        return HierarchicalGuide(ResidualEncoder(sizes.context, key=ekey), parts)


@dataclass(frozen=True)
class IWAEH(AbstractGuideSettings):
    """IWAE (h): independent pairs of a root and a draw from one conditional."""

    published_gradient: bool = False
    """The published doubly reparameterised rule, which is biased."""

    def build(self, sizes, *, key):
        ekey, hkey = jr.split(key)
        draw = gradient(0.0, published=self.published_gradient)
        parts = hierarchy(
            sizes, self.num, 1, PowerWeights(0.0), draw, shared=False, key=hkey
        )
        return HierarchicalGuide(ResidualEncoder(sizes.context, key=ekey), parts)


def gradient(power: float, *, published: bool) -> RootDraw:
    """Doubly reparameterised where the unbiased form is known, else plain."""
    if published:
        return root_dreg_published
    return root_dreg if power == 0 else root_reparam


def hierarchy(
    sizes: Sizes,
    num: int,
    branches: int,
    weights: AbstractWeights,
    draw: RootDraw,
    *,
    shared: bool,
    key: PRNGKeyArray,
) -> Hierarchy:
    """Networks of the paper: as many branches as draws, or one for all. The reverse
    model is told the branch where the weights are equal and there are several.
    """
    check_at_least("num (K)", num, 1)
    qkey, bkey, rkey = jr.split(key, 3)
    size, context, hidden = sizes.latent, sizes.context, sizes.hidden
    told = branches if weights.constant else 1
    return Hierarchy(
        Root(size, context, key=qkey),
        Branches(branches, size, context, hidden, key=bkey),
        Reverse(told, size, context, hidden, key=rkey),
        weights,
        num,
        draw,
        shared,
    )
