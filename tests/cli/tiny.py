"""An experiment small enough for tests: a linear VAE of three pixels."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from taut import Amortized, Bernoulli, Joint, Marginal, Normal, StandardNormal
from taut.densities.conditional import Conditional
from taut.papers.experiment import (
    AbstractAnnealed,
    AbstractExperiment,
    Preset,
    Published,
    Splits,
)
from taut.train import Phase


class Split(eqx.Module):
    """One linear layer for location and log scale."""

    layer: eqx.nn.Linear

    def __call__(self, x):
        loc, log_scale = jnp.split(self.layer(x.reshape(-1)), 2)
        return loc, log_scale


@dataclass(frozen=True)
class Prior:
    """Nested settings."""

    size: int = 2
    """Latent dimensions."""


@dataclass(frozen=True, kw_only=True)
class Tiny(AbstractExperiment):
    """Three binary pixels."""

    prior: Prior = Prior()
    """The prior."""
    rate: float = 1e-2
    """Of Adam."""

    def data(self):
        x = (np.random.RandomState(0).rand(64, 1, 3) < 0.3).astype(np.float32)
        return Splits(x[:40], x[40:50], x[50:], digest="tiny")

    def make(self, key, splits):
        ekey, dkey = jr.split(key)
        size = self.prior.size
        encoder = Split(eqx.nn.Linear(3, 2 * size, key=ekey))
        decoder = eqx.nn.Sequential(
            [
                eqx.nn.Linear(size, 3, key=dkey),
                eqx.nn.Lambda(lambda h: h.reshape(1, 3)),
            ]
        )
        joint = Joint(StandardNormal((size,)), Conditional(decoder, Bernoulli))
        return Marginal(joint, Amortized(Conditional(encoder, Normal)))

    def state(self):
        return None

    def phases(self):
        def loss(model, context, x):
            bound = model.log_prob(context.key, x)
            return -bound, {"bound": bound}

        return (Phase(loss, optax.adam(self.rate)),)

    def density(self, model, state):
        return model

    def shared(self, model, state, key):
        return model


@dataclass(frozen=True, kw_only=True)
class Chained(Tiny, AbstractAnnealed):
    """The same, evaluated by annealing too."""


def presets() -> dict[str, Preset]:
    quick = Tiny(
        steps=40,
        batch_size=8,
        test_images=10,
        samples=5,
        simulated=4,
        simulated_samples=3,
        validate_every=20,
        validation_images=10,
    )
    preset = Preset(
        "tiny",
        "energy-inspired",
        "table1",
        "a tiny VAE",
        "made",
        {"quick": quick},
        Published(-2.0, 0.1),
    )
    return {"tiny": preset}


def bits(tree) -> list[bytes]:
    return [
        np.asarray(leaf).tobytes()
        for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    ]
