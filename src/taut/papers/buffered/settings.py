"""The experiment: settings to data, model, losses and the trained model's bounds."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Float

from ...core.combine import Averaged, Conditioned, Marginal
from ...densities.normal import StandardNormal
from ...nn.batch_norm import Normalised, moved
from ...nn.pixel_heads import LogisticHead
from ...samplers.weights import EqualWeights
from ...train import EXAMPLES, Phase
from ..experiment import AbstractExamined, seeded_choice
from .evaluation import Examination
from .further import AdaptedBSVI, IterativeBSVI, NaturalBSVI, SemiAmortised
from .inference import BSVI, SVI, Amortised, Rules
from .model import Binary, BufferedModel, Grey, Guided, Network, build, law


@dataclass(frozen=True, kw_only=True)
class BufferedVAE(AbstractExamined):
    """A residual encoder and a gated PixelCNN on one data set."""

    inference: (
        Amortised
        | SVI
        | BSVI
        | NaturalBSVI
        | IterativeBSVI
        | AdaptedBSVI
        | SemiAmortised
    )
    """How they are trained: the row."""
    dataset: str = "omniglot"
    """omniglot, svhn or fashion_mnist."""
    pixels: Binary | Grey = Binary()
    """What pixels are."""
    network: Network = Network()
    """Sizes."""
    rules: Rules = Rules()
    """The steps of SVI."""
    examination: Examination = Examination()
    """Bounds of the final evaluation, which every row shares."""
    batch_size: int = 50
    learning_rate: float = 1e-3
    """Of AMSGrad."""
    max_norm: float = 5.0
    """Of the gradient of encoder, decoder and weights together."""
    warm_up: int = 0
    """Steps over which the weight of the KL term rises from 0.1 to 1."""

    def data(self):
        return self.pixels.load(self.dataset)

    def make(self, key, splits):
        shape = splits.mean.shape
        likelihood, encoder = build(key, shape, self.network, self.pixels)
        prior = StandardNormal((self.network.latent,))
        learned = self.inference.of_steps(jr.fold_in(key, 2), self.network.latent)
        weights = self.inference.weights()
        return BufferedModel(prior, likelihood, encoder, weights, learned)

    def state(self):
        return self.network.statistics

    def phases(self):
        clip = optax.clip_by_global_norm(self.max_norm)
        optimiser = optax.chain(clip, optax.amsgrad(self.learning_rate))
        update = lambda state, aux: moved(state, aux["statistics"])
        return (Phase(self._loss, optimiser, update=update),)

    def _loss(self, model, context, x):
        outputs, statistics = model.encoder.in_batch(x, EXAMPLES)
        q, beta = law(outputs), self.kl_weight(context.step)
        make, learned = self.inference.sampler, model.learned
        sampler = make(q, model.weights, self.rules, beta, learned)
        target = Conditioned(model.joint, x)
        value, told = self.inference.objective(context.key, sampler, target, q, beta)
        told = told | scale_of(model.likelihood.head) | {"statistics": statistics}
        return -value, told

    def kl_weight(self, step: Array) -> Float[Array, ""] | None:
        """Of the published loss; none once there is nothing to raise."""
        if self.warm_up == 0:
            return None
        return 0.1 + 0.9 * jnp.minimum(1.0, step / self.warm_up)

    def density(self, model, state):
        # Steps clipped by the batch would have no upper end.
        rules = replace(self.rules, whole_batch=False)
        buffer = BSVI(self.examination.steps)
        encoder = Normalised(model.encoder, state)
        guide = Guided(encoder, EqualWeights(), buffer, rules)
        return Marginal(model.joint, guide)

    def shared(self, model, state, key):
        # The same bound; a mere average has no rate and distortion, which `report`
        # gives as the paper does.
        return Averaged(self.density(model, state), 1)

    def validated(self, model, state, key):
        """The row's own bound, as it is trained, but never annealed."""
        rules = replace(self.rules, whole_batch=False)
        encoder = Normalised(model.encoder, state)
        inference, learned = self.inference, model.learned
        guide = Guided(encoder, model.weights, inference, rules, learned)
        return Marginal(model.joint, guide)

    def report(self, key, model, state, images, gathered):
        rules = replace(self.rules, whole_batch=False)
        tkey, rkey, pkey = jr.split(key, 3)

        def examine(name, key, images):
            part = lambda section, *rest: gathered(f"{name}-{section}", *rest)
            return self.examination.report(key, model, state, rules, images, part)

        splits, num = self.data(), self.examination.train_images
        chosen = seeded_choice(np.asarray(splits.train), num)
        if splits.prepare is not None:
            keys = jr.split(pkey, len(chosen))
            chosen = jax.vmap(splits.prepare)(keys, jnp.asarray(chosen))
        told: dict[str, Any] = {"test": examine("test", tkey, images)}
        if num:
            told["train"] = examine("train", rkey, np.asarray(chosen))
        return told | {k: float(v) for k, v in scale_of(model.likelihood.head).items()}


def scale_of(head: Any) -> dict[str, Array]:
    """The learned scale, and whether it lies at its lower bound."""
    if not isinstance(head, LogisticHead):
        return {}
    scale = jnp.exp(head.log_scale)
    return {"scale": scale, "scale_at_floor": scale < 1.01 * head.floor}
