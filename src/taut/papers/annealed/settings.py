"""The experiment: one stochastic layer on binary images."""

from dataclasses import dataclass

from ...densities.conditional import Conditional
from ...densities.discrete import Bernoulli
from ...densities.normal import Normal, StandardNormal
from ...nn.networks import annealed_vae
from ..experiment import AbstractAnnealed
from ..images import binary
from ..latent import LatentModel
from .inference import AIS, IWAE, MHHMC
from .learning import Blocks, Cosine
from .persistent import Persistent, numbered


@dataclass(frozen=True, kw_only=True)
class AnnealedVAE(AbstractAnnealed):
    """One stochastic layer of 50, 2 x 200 tanh on either side."""

    inference: AIS | MHHMC | IWAE | Persistent
    """How it is trained."""
    dataset: str = "mnist"
    """Grey images, binarised afresh at every read; there is no validation split."""
    latent: int = 50
    """Dimensions of the latent."""
    learning: Blocks | Cosine = Blocks()
    """How fast, by what optimiser; the same for decoder and encoder."""

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
        return self.inference.phases(self.learning(self.steps))

    def density(self, model, state):
        return model.marginal()

    def shared(self, model, state, key):
        return model.marginal()
