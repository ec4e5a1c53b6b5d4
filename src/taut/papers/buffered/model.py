"""A residual encoder, a gated PixelCNN, and what is between them."""

import abc
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ...core.combine import Joint
from ...densities.autoregressive import Autoregressive
from ...densities.discrete import Bernoulli
from ...densities.discretized_logistic import DiscretizedLogistic
from ...densities.log_variance import LogVarianceNormal
from ...densities.normal import StandardNormal
from ...nn.batch_norm import Moments, Normalised, Statistics
from ...nn.pixel_heads import BernoulliHead, LogisticHead
from ...nn.pixelcnn import KERNELS, PixelCNN
from ...nn.pixelcnn_sampling import ancestral
from ...nn.resnet_encoder import ResNetEncoder
from ...samplers.weights import AbstractWeights
from .. import images
from ..experiment import Splits
from .inference import AbstractInference, Rules

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Network:
    """Sizes; those of the paper, or smaller ones, for two cores."""

    latent: int = 32
    """Dimensions of the latent."""
    encoder: int = 64
    """Channels of the encoder."""
    decoder: int = 32
    """Channels of the decoder."""
    kernels: tuple[int, ...] = KERNELS
    """Sizes of the decoder's kernels, layer by layer."""
    stages: int = 3
    """Halvings in the encoder."""
    rise_always: bool = True
    """The decoder's upper maps move down in every layer, as published; without, in the
    first only, and no earlier pixel is out of sight."""

    @property
    def statistics(self) -> Statistics:
        """Where the running moments of the encoder's two norms a stage start."""
        zeros, ones = jnp.zeros(self.encoder), jnp.ones(self.encoder)
        return (Moments(zeros, ones),) * (2 * self.stages)


class Pixels(eqx.Module):
    """`z -> p(x | z)`, pixel after pixel."""

    network: PixelCNN
    head: BernoulliHead | LogisticHead

    def __call__(self, z: Array) -> Autoregressive:
        return Autoregressive(self.network, self.head, z, ancestral)


@dataclass(frozen=True)
class AbstractImages(abc.ABC):
    """What pixels are."""

    @abc.abstractmethod
    def load(self, dataset: str) -> Splits:
        """Images (height, width, 1)."""

    @abc.abstractmethod
    def head(self) -> BernoulliHead | LogisticHead:
        """From the decoder's outputs to the law of pixels."""

    @property
    @abc.abstractmethod
    def unit(self) -> float:
        """The largest value of a pixel."""


@dataclass(frozen=True)
class Binary(AbstractImages):
    """Black and white, drawn afresh from grey values at every read in training."""

    def load(self, dataset):
        return with_channel(images.binary(dataset, "buffered"))

    def head(self):
        return BernoulliHead(Bernoulli)

    @property
    def unit(self):
        return 1.0


@dataclass(frozen=True)
class Grey(AbstractImages):
    """256 levels, by a discretised logistic with one learned scale."""

    floor: float = 1e-3
    """The least scale, of the whole range."""

    def load(self, dataset):
        return with_channel(images.grey(dataset, "buffered"))

    def head(self):
        return LogisticHead(DiscretizedLogistic, floor=self.floor)

    @property
    def unit(self):
        return 255.0


def with_channel(splits: Splits) -> Splits:
    """Arrays (n, height, width) as (n, height, width, 1)."""
    wide = lambda a: None if a is None else np.asarray(a)[..., None]
    return Splits(
        wide(splits.train),  # pyright: ignore[reportArgumentType]
        wide(splits.valid),
        wide(splits.test),  # pyright: ignore[reportArgumentType]
        splits.digest,
        splits.prepare,
        wide(splits.mean),
    )


class BufferedModel(eqx.Module):
    """What is trained; the encoder's running statistics are the training's state."""

    prior: StandardNormal
    likelihood: Pixels
    encoder: ResNetEncoder
    weights: AbstractWeights
    learned: Any = None  # of the steps

    @property
    def joint(self) -> Joint:
        """Of latents and images."""
        return Joint(self.prior, self.likelihood)


def build(
    key: PRNGKeyArray, shape: Shape, network: Network, pixels: AbstractImages
) -> tuple[Pixels, ResNetEncoder]:
    """Decoder and encoder for images of this shape."""
    dkey, ekey = jr.split(key)
    decoder = PixelCNN(
        shape,
        network.latent,
        kernels=network.kernels,
        channels=network.decoder,
        rise_always=network.rise_always,
        unit=pixels.unit,
        key=dkey,
    )
    encoder = ResNetEncoder(
        shape,
        network.latent,
        channels=network.encoder,
        stages=network.stages,
        unit=pixels.unit,
        key=ekey,
    )
    return Pixels(decoder, pixels.head()), encoder


def law(outputs: Any) -> LogVarianceNormal:
    """The encoder's location and log scale, to be moved as the paper moves them."""
    loc, log_scale = outputs
    return LogVarianceNormal(loc, 2 * log_scale)


class Guided(eqx.Module):
    """`x -> sampler`, by the encoder under known statistics, at an inference's rule."""

    encoder: Normalised
    weights: AbstractWeights
    inference: AbstractInference = eqx.field(static=True)
    rules: Rules = eqx.field(static=True)
    learned: Any = None

    def __call__(self, x: Array):
        q = law(self.encoder(x))
        sampler = self.inference.sampler
        return sampler(q, self.weights, self.rules, None, self.learned)
