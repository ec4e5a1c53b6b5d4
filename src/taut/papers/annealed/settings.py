"""The experiment: one stochastic layer on binary images."""

from dataclasses import dataclass

import optax

from ...densities.conditional import Conditional
from ...densities.discrete import Bernoulli
from ...densities.normal import Normal, StandardNormal
from ...nn.networks import annealed_vae
from ..experiment import AbstractExperiment
from ..images import binary
from ..latent import LatentModel
from .inference import AIS, IWAE, MHHMC
from .persistent import Persistent, numbered

BLOCKS = 8  # of 3^i epochs each, i = 0 .. 7, at the rate 1e-3 10^(-i/7)


@dataclass(frozen=True, kw_only=True)
class AnnealedVAE(AbstractExperiment):
    """One stochastic layer of 50, 2 x 200 tanh on either side."""

    inference: AIS | MHHMC | IWAE | Persistent
    """How it is trained."""
    dataset: str = "mnist"
    """Grey images, binarised afresh at every read; there is no validation split."""
    latent: int = 50
    """Dimensions of the latent."""
    learning_rate: float = 1e-3
    """Of Adam at the start; it falls tenfold over eight blocks of tripling length."""

    def data(self):
        splits = binary(self.dataset, "annealed")
        return numbered(splits) if self.inference.numbered else splits

    def make(self, key, splits):
        encoder, decoder = annealed_vae(splits.mean.shape, self.latent, key=key)
        return LatentModel(
            StandardNormal((self.latent,)),
            Conditional(decoder, Bernoulli),
            Conditional(encoder, Normal),
        )

    def state(self):
        return self.inference.state()

    def phases(self):
        epochs = [(3**i - 1) / 2 for i in range(1, BLOCKS)]
        whole = (3**BLOCKS - 1) / 2
        falls = {int(self.steps * e / whole): 10 ** (-1 / 7) for e in epochs}
        rate = optax.piecewise_constant_schedule(self.learning_rate, falls)
        return self.inference.phases(optax.adam(rate, eps=1e-4))

    def density(self, model, state):
        return model.marginal()

    def shared(self, model, state, key):
        return model.marginal()
