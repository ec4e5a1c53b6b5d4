"""Handwritten digits, by a VAE with and without a SNIS prior."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import optax

from ... import data
from ...core.combine import Conditioned, Frozen, Joint, Marginal
from ...core.density import AbstractDensity
from ...data import transforms
from ...densities.conditional import Conditional
from ...densities.discrete import Bernoulli
from ...densities.normal import Normal, StandardNormal
from ...densities.self_normalized import SelfNormalized
from ...evaluation import gather, lower_end
from ...nn.heads import BernoulliDecoder, Encoder, Energy, mean_logits
from ...nn.mlp import MLP
from ...report import Row
from ...samplers.importance import Amortized
from ...train import FitResult, Phase, fit
from .common import Options, Trained, mean_and_error, with_upper


class Digits(eqx.Module):
    """A small VAE of 8x8 digits."""

    prior: AbstractDensity
    likelihood: Conditional
    guide: Conditional

    def given(self, prior: Any) -> Marginal:
        return Marginal(Joint(prior, self.likelihood), Amortized(self.guide))


def digit_model(options: Options, name: str, num: int | None) -> Trained:
    """Handwritten digits, binarised at every read, with and without a SNIS prior."""
    train, test = data.load("digits", "train"), data.load("digits", "test")
    levels = train.card.levels
    latent = 8
    pkey, ekey, dkey, fkey, tkey, skey = jr.split(jr.key(options.seed), 6)
    mean = train.mean()
    prior: AbstractDensity = StandardNormal((latent,))
    if num is not None:
        energy = Energy(MLP((latent, 64, 64, 1), key=pkey))
        prior = SelfNormalized(prior, energy, num)
    encoder = Encoder(MLP((64, 128, 2 * latent), key=ekey), mean)
    net = MLP((latent, 128, 64), key=dkey)
    decoder = BernoulliDecoder(net, (8, 8), mean_logits(mean))
    model = Digits(prior, Conditional(decoder, Bernoulli), Conditional(encoder, Normal))

    def prepare(key, x):
        grey = transforms.intensity(x, levels).astype(jnp.float32)
        return transforms.binarise(key, grey)

    def loss(model, context, x):
        marginal = model.given(Frozen(model.prior, context.shared))
        target = Conditioned(marginal.joint, x)
        value = marginal.sampler(x).run(context.key, target).log_z
        return -value, {"bound": value}

    result: FitResult = fit(
        fkey,
        model,
        Phase(loss, optax.adam(optax.cosine_decay_schedule(4e-3, options.steps))),
        jnp.asarray(train.images),
        prepare=prepare,
        steps=options.steps,
        batch_size=128,
        report_every=max(1, options.steps // 60),
    )
    at = lambda model, key: model.given(Frozen(model.prior, key))
    xs = transforms.fixed_binarisation(test)
    end = gather(list(lower_end(tkey, at, result.params, xs, 50, block=1000)))
    row = Row(name, *mean_and_error(end.value))
    marginal = result.params.given(result.params.prior)
    row, draws = with_upper(row, skey, marginal, 100, 100)
    return Trained(row, result.history, result.params, draws)
