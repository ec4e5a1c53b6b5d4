"""The paper's experiments on binary images."""

import functools
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ...core.combine import Conditioned, Joint, Marginal
from ...densities.conditional import Conditional
from ...densities.discrete import Bernoulli
from ...densities.normal import StandardNormal
from ...nn.residual import ResidualDecoder
from ...objectives import annealed
from ...train import Phase, only
from ..experiment import AbstractExperiment, Splits
from ..images import binary
from .further import HVAE, IWHVI, SIVI, WithCompanions
from .guides import AbstractGuide
from .joint import JIWAE, FlowJIWAE
from .moving import LangevinGuide, RefinedHIWAE
from .settings import HIWAE, IWAE, IWAEH, AbstractGuideSettings, Sizes


class Model(eqx.Module):
    """A VAE, and what proposes its latents."""

    prior: StandardNormal
    likelihood: Conditional
    guide: AbstractGuide

    @property
    def joint(self) -> Joint:
        """Of latents and image."""
        return Joint(self.prior, self.likelihood)

    def marginal(self) -> Marginal:
        """Over images, with the guide's K samples."""
        return Marginal(self.joint, self.guide.towards(self.joint))


@dataclass(frozen=True, kw_only=True)
class HierarchicalVAE(AbstractExperiment):
    """Residual convolutions on either side, a normal prior of 32 dimensions."""

    guide: (
        IWAE
        | IWAEH
        | HIWAE
        | SIVI
        | IWHVI
        | WithCompanions
        | HVAE
        | JIWAE
        | FlowJIWAE
        | LangevinGuide
        | RefinedHIWAE
    )
    """How latents are proposed and weighed."""
    dataset: str = "static_mnist"
    """static_mnist, omniglot or caltech101_silhouettes."""
    sizes: Sizes = Sizes()
    """Dimensions of the networks."""
    learning_rate: float = 5e-5
    """Of Adam, on either side."""
    clip: float = 5.0
    """Global norm of the gradient of either side."""
    anneal: int = 50_000
    """Steps over which the weight of all but log p(x|z) rises to 1; 0 for none."""
    free_bits: float | None = None
    """What that part counts at least, per sample; none without it."""
    encoder_updates: int = 1
    """Updates of encoder, root and branches for one of decoder and reverse model."""

    def data(self):
        return _with_channel(self.dataset)

    def make(self, key, splits):
        # Hundreds of small arrays: one compiled call makes them all.
        return make_model(key, self.guide, self.sizes)

    def state(self):
        return None

    def phases(self):
        def loss(model, context, x):
            marginal = model.marginal()
            target = Conditioned(marginal.joint, x)
            particles = marginal.sampler(x).run(context.key, target)
            weight = kl_weight(context.step, self.anneal)
            value = annealed(particles, weight, self.free_bits)
            return -value, {"bound": particles.log_z, "ess": particles.ess}

        adam = optax.chain(
            optax.clip_by_global_norm(self.clip), optax.adam(self.learning_rate)
        )
        both = optax.partition({"proposals": adam, "model": adam}, sides)
        last = Phase(loss, both)
        first = Phase(loss, adam, only(lambda m: m.guide.proposals))
        return (*(first,) * (self.encoder_updates - 1), last)

    def density(self, model, state):
        return model.marginal()

    def shared(self, model, state, key):
        return model.marginal()


@eqx.filter_jit
def make_model(key: PRNGKeyArray, guide: AbstractGuideSettings, sizes: Sizes) -> Model:
    """Decoder and guide before training."""
    dkey, gkey = jr.split(key)
    decoder = ResidualDecoder(sizes.latent, sizes.context, key=dkey)
    return Model(
        StandardNormal((sizes.latent,)),
        Conditional(decoder, Bernoulli),
        guide.build(sizes, key=gkey),
    )


def sides(model: Model) -> Any:
    """Every array's optimiser: encoder, root and branches have one of their own."""
    labels = jax.tree.map(lambda _: "model", model)
    chosen = lambda part: jax.tree.map(lambda _: "proposals", part)
    return eqx.tree_at(lambda m: m.guide.proposals, labels, replace_fn=chosen)


def kl_weight(step: Int[Array, ""], anneal: int) -> Float[Array, ""]:
    """From 1e-4 to 1 over `anneal` steps."""
    return jnp.clip(step / anneal, 1e-4, 1.0) if anneal else jnp.ones(())


@functools.cache
def _with_channel(name: str) -> Splits:
    splits = binary(name, "hierarchical")
    axis = lambda array: None if array is None else np.asarray(array)[..., None]
    train, valid, test = map(axis, (splits.train, splits.valid, splits.test))
    return replace(splits, train=train, valid=valid, test=test, mean=axis(splits.mean))
