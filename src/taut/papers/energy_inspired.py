"""Energy-inspired models (Lawson et al., 2019): VAEs with energy-based priors.

Energy-Inspired Models: Learning with Sampler-Induced Distributions, and Revisiting
Auxiliary Latent Variables in Generative Models.
"""

import functools
from dataclasses import dataclass, replace

import jax.numpy as jnp
import jax.random as jr
import optax

from ..core.combine import Conditioned, Frozen
from ..densities.conditional import Conditional
from ..densities.discrete import Bernoulli
from ..densities.normal import Normal, StandardNormal
from ..nn.networks import binary_vae, latent_energy
from ..objectives import annealed
from ..train import Phase
from .energies import HIS, SNIS, TRS, Proposal
from .experiment import AbstractExperiment, Preset, Published
from .images import binary
from .latent import LatentModel


@dataclass(frozen=True, kw_only=True)
class BinaryVAE(AbstractExperiment):
    """A Bernoulli VAE whose prior is an energy-inspired model."""

    prior: Proposal | SNIS | TRS | HIS
    """The law over the latents, on the proposal N(0, I)."""
    dataset: str = "static_mnist"
    """Binary images; grey ones are binarised afresh at every read."""
    latent: int = 50
    """Dimensions of the latent."""
    learning_rate: float = 3e-4
    """Of Adam; a third of it after `drop` steps."""
    drop: int = 1_000_000
    """When the learning rate drops."""
    warm_up: int = 100_000
    """Steps over which the weight of the KL term rises from 0 to 1."""

    def data(self):
        return binary(self.dataset, "energy-inspired")

    def make(self, key, splits):
        nkey, pkey = jr.split(key)
        encoder, decoder = binary_vae(splits.mean, self.latent, key=nkey)
        energy = functools.partial(latent_energy, self.latent)
        prior = self.prior.build(StandardNormal((self.latent,)), energy, key=pkey)
        return LatentModel(
            prior, Conditional(decoder, Bernoulli), Conditional(encoder, Normal)
        )

    def state(self):
        return None

    def phases(self):
        rate = optax.piecewise_constant_schedule(self.learning_rate, {self.drop: 1 / 3})

        def loss(model, context, x):
            weight = jnp.minimum(1.0, (context.step + 1) / max(1, self.warm_up))
            marginal = model.marginal(Frozen(model.prior, context.shared))
            target = Conditioned(marginal.joint, x)
            particles = marginal.sampler(x).run(context.key, target)
            return -annealed(particles, weight), {"bound": particles.log_z}

        return (Phase(loss, optax.adam(rate)),)

    def density(self, model, state):
        return model.marginal()

    def shared(self, model, state, key):
        return model.marginal(Frozen(model.prior, key))


def _budgets(full: BinaryVAE) -> dict[str, BinaryVAE]:
    quick = replace(
        full,
        steps=3000,
        warm_up=500,
        test_images=500,
        samples=100,
        simulated=50,
        simulated_samples=50,
    )
    medium = replace(full, steps=60_000, warm_up=10_000, test_images=2000)
    return {"quick": quick, "medium": medium, "full": full}


def _row(prior, name: str, row: str, published: Published) -> Preset:
    full = BinaryVAE(steps=10_000_000, prior=prior)
    return Preset(
        name,
        "energy-inspired",
        "table1",
        row,
        "static MNIST",
        _budgets(full),
        published,
    )


PRESETS: tuple[Preset, ...] = (
    _row(
        Proposal(), "static-mnist-vae", "VAE w/ Gaussian prior", Published(-89.20, 0.08)
    ),
    _row(TRS(), "static-mnist-vae-trs", "VAE w/ TRS prior", Published(-86.81, 0.06)),
    _row(SNIS(), "static-mnist-vae-snis", "VAE w/ SNIS prior", Published(-86.28, 0.14)),
    _row(HIS(), "static-mnist-vae-his", "VAE w/ HIS prior", Published(-86.00, 0.05)),
)
