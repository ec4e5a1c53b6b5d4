"""Guides beyond the paper, of the same networks and on the same data."""

import abc
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ...core.combine import Joint
from ...core.sampler import AbstractSampler
from ...densities.hamiltonian import HamiltonianImportance
from ...densities.normal import Normal
from ...nn.hierarchical import Branches, Reverse, Root
from ...nn.residual import ResidualEncoder
from ...recipes import SemiImplicit, iwhvi
from ...samplers.importance import Companions, Importance
from .guides import AbstractGuide, Image, OneBranch, ReverseAt
from .settings import AbstractGuideSettings, Sizes


class Parts(eqx.Module):
    """Networks of a further guide; `extra` are what else it needs."""

    encoder: ResidualEncoder
    root: Root
    extra: Any


class FurtherGuide(AbstractGuide):
    """Networks, and the settings that make a sampler of them."""

    parts: Parts
    settings: "AbstractFurther" = eqx.field(static=True)

    @property
    def proposals(self):
        return self.parts

    def towards(self, joint):
        return Aimed(self.parts, joint, self.settings)


class Aimed(eqx.Module):
    """`x -> sampler`, with the model in sight."""

    parts: Parts
    joint: Joint
    settings: "AbstractFurther" = eqx.field(static=True)

    def __call__(self, x: Image) -> AbstractSampler:
        context = self.parts.encoder(x)
        root = Normal(*self.parts.root(context))
        return self.settings.aim(root, self.parts.extra, context, Posed(self.joint, x))


class Posed(eqx.Module):
    """`-log p(z, x)` as an energy of `z`."""

    joint: Joint
    x: Image

    def __call__(self, z: Float[Array, " size"]) -> Float[Array, ""]:
        log_joint = self.joint.log_prob(jr.key(0), (z, self.x))  # exact: no use of keys
        return jnp.negative(log_joint)


@dataclass(frozen=True)
class AbstractFurther(AbstractGuideSettings):
    """An encoder, a root and other networks, made into a sampler for every image."""

    @abc.abstractmethod
    def extra(self, sizes: Sizes, *, key: PRNGKeyArray) -> Any:
        """The other networks."""

    @abc.abstractmethod
    def aim(
        self, root: Normal, extra: Any, context: Array, energy: Posed
    ) -> AbstractSampler:
        """The sampler for one image."""

    def build(self, sizes, *, key):
        ekey, rkey, xkey = jr.split(key, 3)
        encoder = ResidualEncoder(sizes.context, key=ekey)
        root = Root(sizes.latent, sizes.context, key=rkey)
        return FurtherGuide(Parts(encoder, root, self.extra(sizes, key=xkey)), self)


def _branch(sizes: Sizes, *, key: PRNGKeyArray) -> Branches:
    return Branches(1, sizes.latent, sizes.context, sizes.hidden, key=key)


def _reverse(sizes: Sizes, *, key: PRNGKeyArray) -> Reverse:
    return Reverse(1, sizes.latent, sizes.context, sizes.hidden, key=key)


@dataclass(frozen=True)
class SIVI(AbstractFurther):
    """Semi-implicit: `q(z | z0, x)` mixed over `z0`, whose own law explains it."""

    inner: int = 5
    """Draws of z0 behind one value of the mixture."""

    def extra(self, sizes, *, key):
        return _branch(sizes, key=key)

    def aim(self, root, extra, context, energy):
        mixture = SemiImplicit(root, OneBranch(extra, context), self.inner)
        return Importance(mixture, self.num)


@dataclass(frozen=True)
class IWHVI(AbstractFurther):
    """The same with a learned reverse model (Sobolev & Vetrov, 2019)."""

    inner: int = 5
    """Draws of z0 behind one value of the mixture."""

    def extra(self, sizes, *, key):
        bkey, rkey = jr.split(key)
        return _branch(sizes, key=bkey), _reverse(sizes, key=rkey)

    def aim(self, root, extra, context, energy):
        branch, reverse = extra
        parts = OneBranch(branch, context), ReverseAt(reverse, context)
        return Importance(iwhvi(root, *parts, self.inner), self.num)


@dataclass(frozen=True)
class WithCompanions(AbstractFurther):
    """IWAE whose other draws a learned `r(z_j | z, x)` explains."""

    def extra(self, sizes, *, key):
        return _branch(sizes, key=key)

    def aim(self, root, extra, context, energy):
        return Companions(root, OneBranch(extra, context), self.num)


class Flow(eqx.Module):
    """What a Hamiltonian guide learns beside its start."""

    raw_step_size: Float[Array, " size"]
    raw_alphas: Float[Array, " T"]
    momentum: Reverse


@dataclass(frozen=True)
class HVAE(AbstractFurther):
    """Tempered leapfrog steps up the posterior's slope, then importance weights."""

    leapfrogs: int = 3
    """Steps, of one decoder gradient each."""
    step_size: float = 0.05
    """Where every dimension's step size starts."""
    alpha: float = 0.9
    """Where every step's temperature starts."""

    def extra(self, sizes, *, key):
        step = jnp.full(sizes.latent, jnp.log(jnp.expm1(self.step_size)))
        alpha = jnp.log(self.alpha) - jnp.log1p(-self.alpha)
        return Flow(step, jnp.full(self.leapfrogs, alpha), _reverse(sizes, key=key))

    def aim(self, root, extra, context, energy):
        guide = HamiltonianImportance(
            root,
            energy,
            jnp.logaddexp(extra.raw_step_size, 0.0),
            1 / (1 + jnp.exp(-extra.raw_alphas)),
            ReverseAt(extra.momentum, context),
        )
        return Importance(guide, self.num)
