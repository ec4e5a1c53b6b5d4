"""The latent-variable models that the energies sit on, as settings."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ...core.combine import Conditioned, Joint, Marginal
from ...core.density import AbstractDensity
from ...densities.conditional import Conditional
from ...densities.discrete import Bernoulli
from ...densities.normal import Normal
from ...nn.conv_hvae import conv_hvae
from ...nn.heads import BernoulliDecoder, Encoder
from ...nn.networks import binary_vae
from ...objectives import annealed
from ...samplers.importance import Amortized
from ..latent import LatentModel


class GivenUpper(eqx.Module):
    """`q(z1 | x, z2)` as a function of `z2`."""

    net: Callable
    x: Array

    def __call__(self, upper: Array) -> Normal:
        return Normal(*self.net(self.x, upper))


class TwoLayerGuide(eqx.Module):
    """`x -> q(z2 | x) q(z1 | x, z2)`."""

    upper: Encoder
    lower: Callable

    def __call__(self, x: Array) -> Joint:
        return Joint(Normal(*self.upper(x)), GivenUpper(self.lower, x))


class TwoLayerLikelihood(eqx.Module):
    """`(z2, z1) -> p(x | z1, z2)`."""

    net: BernoulliDecoder

    def __call__(self, latents: tuple[Array, Array]) -> Bernoulli:
        upper, lower = latents
        return Bernoulli(self.net(lower, upper))


class TwoLayerModel(eqx.Module):
    """`prior(z2) p(z1 | z2) p(x | z1, z2)` and its guide."""

    prior: Any
    lower: Conditional
    likelihood: TwoLayerLikelihood
    guide: TwoLayerGuide

    def marginal(self, prior: Any = None) -> Marginal:
        """Over images; with another prior of `z2` where it is given."""
        upper = Joint(self.prior if prior is None else prior, self.lower)
        return Marginal(Joint(upper, self.likelihood), Amortized(self.guide))


@dataclass(frozen=True)
class AbstractNetwork(abc.ABC):
    """Encoder and decoder of binary images."""

    latent: int = 50
    """Dimensions of the latent under the prior."""

    @property
    @abc.abstractmethod
    def channels(self) -> bool:
        """Do images carry an axis of channels?"""

    @abc.abstractmethod
    def build(
        self, prior: Any, mean: Float[Array, "..."], *, key: PRNGKeyArray
    ) -> LatentModel | TwoLayerModel:
        """The model of images with this train mean."""


@dataclass(frozen=True)
class VAE(AbstractNetwork):
    """2 x 300 tanh on either side."""

    channels: ClassVar[bool] = False

    def build(self, prior, mean, *, key):
        encoder, decoder = binary_vae(mean, self.latent, key=key)
        likelihood = Conditional(decoder, Bernoulli)
        return LatentModel(prior, likelihood, Conditional(encoder, Normal))


@dataclass(frozen=True)
class ConvHVAE(AbstractNetwork):
    """Two layers of latents; the energy is in the prior of the upper one."""

    channels: ClassVar[bool] = True

    def build(self, prior, mean, *, key):
        nets = conv_hvae(jnp.asarray(mean), self.latent, key=key)
        return TwoLayerModel(
            prior,
            Conditional(nets.lower_prior, Normal),
            TwoLayerLikelihood(nets.decoder),
            TwoLayerGuide(nets.upper_encoder, nets.lower_encoder),
        )


class _Weighted(AbstractDensity[Any]):
    """`base`, its bound with a weight on the KL term: a loss, for training only."""

    base: Marginal
    weight: Float[Array, ""]
    exact: ClassVar[bool] = False

    @property
    def reparameterised(self):
        return self.base.reparameterised

    def sample_and_log_prob(self, key):
        return self.base.sample_and_log_prob(key)

    def log_prob(self, key, x):
        return weighted_bound(key, self.base, self.weight, x)


def weighted(base: Marginal, weight: Float[Array, ""]) -> AbstractDensity:
    """A proposal whose own bound weighs the KL term."""
    return _Weighted(base, weight)


def weighted_bound(
    key: PRNGKeyArray, base: Marginal, weight: Float[Array, ""], x: Array
) -> Float[Array, ""]:
    """One draw of `log p(x|z) + weight (log p(z) - log q(z|x))`."""
    return annealed(base.sampler(x).run(key, Conditioned(base.joint, x)), weight)
