"""Binary images: an energy in the prior of a VAE, or over the pixels themselves."""

import functools
from dataclasses import dataclass, replace

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ...densities.normal import StandardNormal
from ...nn.conv_hvae import conv_energy
from ...nn.networks import latent_energy, pixel_energy
from .. import images
from ..experiment import Splits
from .laws import AnnealedLangevin, Proposal, ShortRunLangevin
from .networks import VAE, ConvHVAE, weighted, weighted_bound
from .settings import AbstractEnergyExperiment, kl_weight


@dataclass(frozen=True, kw_only=True)
class AbstractBinary(AbstractEnergyExperiment):
    """Images of 0 and 1."""

    network: VAE | ConvHVAE = VAE()
    """Encoder and decoder."""
    dataset: str = "static_mnist"
    """static_mnist, or grey images, binarised afresh at every read."""
    warm_up: int = 100_000
    """Steps over which the weight of the KL term rises from 0 to 1."""

    def data(self):
        return _binary(self.dataset, channels=self.network.channels)


@dataclass(frozen=True, kw_only=True)
class LatentEnergy(AbstractBinary):
    """The law is the prior of the (upper) latent, on the proposal N(0, I)."""

    def make(self, key, splits):
        nkey, pkey = jr.split(key)
        size = self.network.latent
        energy = functools.partial(latent_energy, size)
        prior = self.law.build(StandardNormal((size,)), energy, key=pkey)
        return self.network.build(prior, splits.mean, key=nkey)

    def part(self, model):
        return model.prior

    def objective(self, model, context, x):
        prior, aux = self.law.aim(model.prior, context.state, context.shared)
        weight = kl_weight(context.step, self.warm_up)
        value = weighted_bound(context.key, model.marginal(prior), weight, x)
        return value, {"bound": value} | aux

    def density(self, model, state):
        return self.law.density(model.prior, state, model.marginal)

    def shared(self, model, state, key):
        return model.marginal(self.law.shared(model.prior, state, key))


@dataclass(frozen=True, kw_only=True)
class PixelEnergy(AbstractBinary):
    """The law is over images, and a VAE with prior N(0, I) is its proposal."""

    convolutional: bool = False
    """An energy of convolutions (ours) rather than 2 x 100 tanh."""

    def make(self, key, splits):
        if isinstance(self.law, Proposal | AnnealedLangevin | ShortRunLangevin):
            raise ValueError(
                "PixelEnergy: expected a law that weighs or accepts images, SNIS, TRS "
                f"or LARS; got {type(self.law).__name__}. A VAE without one is a "
                "LatentEnergy with the law Proposal."
            )
        nkey, pkey = jr.split(key)
        prior = StandardNormal((self.network.latent,))
        vae = self.network.build(prior, splits.mean, key=nkey).marginal()
        if self.convolutional:
            energy = functools.partial(conv_energy, jnp.asarray(splits.mean))
        else:
            energy = functools.partial(pixel_energy, splits.mean.shape, splits.mean)
        return self.law.build(vae, energy, key=pkey)

    def part(self, model):
        return model

    def objective(self, model, context, x):
        weight = kl_weight(context.step, self.warm_up)
        vae = weighted(model.proposal, weight)
        model = eqx.tree_at(lambda model: model.proposal, model, vae)
        target, aux = self.law.aim(model, context.state, context.shared)
        value = target.log_prob(context.key, x)
        return value, {"bound": value} | aux

    def density(self, model, state):
        return self.law.density(model, state, lambda model: model)

    def shared(self, model, state, key):
        return self.law.shared(model, state, key)


@functools.cache
def _binary(name: str, *, channels: bool) -> Splits:
    splits = images.binary(name, "energy-inspired")
    stored = None if splits.prepare else np.asarray(splits.train)
    for part in (stored, splits.test, splits.valid):
        check_range(name, part, 0.0, 1.0)
    if not channels:
        return splits
    axis = lambda array: None if array is None else np.asarray(array)[..., None]
    train, valid, test = map(axis, (splits.train, splits.valid, splits.test))
    return replace(splits, train=train, valid=valid, test=test, mean=axis(splits.mean))


def check_range(
    name: str, array: np.ndarray | None, low: float, high: float, *, open: bool = False
) -> None:
    """Values lie between `low` and `high` (below it, where the interval is open)."""
    if array is None:
        return
    above = array >= high if open else array > high
    bad = ~np.isfinite(array) | (array < low) | above
    if np.any(bad):
        end = ")" if open else "]"
        raise ValueError(
            f"{name}: expected values in [{low:g}, {high:g}{end}; got "
            f"{np.sum(bad)} outside, the first one {array[bad][0]:g}. Rescale the data."
        )
