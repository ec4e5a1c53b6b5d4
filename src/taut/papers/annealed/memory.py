"""What compiled programs need besides their inputs and outputs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from ... import schedules
from ...densities.conditional import Conditional
from ...densities.discrete import Bernoulli
from ...densities.normal import Normal, StandardNormal
from ...evaluation import AnnealedEnds
from ...nn.networks import annealed_vae
from ...train import EXAMPLES, Context
from ..latent import LatentModel
from .inference import AIS

PIXELS = (28, 28)


def vae(latent: int = 50) -> LatentModel:
    """The paper's networks, untrained."""
    encoder, decoder = annealed_vae(PIXELS, latent, key=jr.key(0))
    prior = StandardNormal((latent,))
    likelihood = Conditional(decoder, Bernoulli)
    return LatentModel(prior, likelihood, Conditional(encoder, Normal))


def temporaries(function: Callable, *args: Any) -> int:
    """Bytes of temporaries of the compiled function."""
    compiled = jax.jit(function).lower(*args).compile()
    analysis: Any = compiled.memory_analysis()
    return int(analysis.temp_size_in_bytes)


def training(how: AIS, batch: int = 128) -> int:
    """Of the decoder's loss with its gradient, over a batch."""
    dynamic, static = eqx.partition(vae(), eqx.is_inexact_array)
    loss = how.phases(None)[0].loss  # pyright: ignore[reportArgumentType]

    def mean(dynamic, keys, x):
        model = eqx.combine(dynamic, static)

        def one(key, x):
            context = Context(key, key, jnp.int32(0), how.state())
            return loss(model, context, x)[0]

        return jnp.mean(jax.vmap(one, axis_name=EXAMPLES)(keys, x))

    keys, x = jr.split(jr.key(0), batch), jnp.zeros((batch, *PIXELS))
    return temporaries(jax.value_and_grad(mean), dynamic, keys, x)


def evaluating(block: int, temperatures: int = 1000, chains: int = 16) -> int:
    """Of the lower end of a block of images."""
    marginal = vae().marginal()
    ends = AnnealedEnds(marginal, schedules.linear(temperatures), chains, 10)
    one = lambda key, x: ends._lower(key, x).end.value
    keys, x = jr.split(jr.key(0), block), jnp.zeros((block, *PIXELS))
    return temporaries(jax.vmap(one), keys, x)


def memory() -> dict[str, Any]:
    """Training at growing length, evaluation at growing blocks; in bytes."""
    chains = AIS(5)
    found = {
        f"training, T = {t}": training(replace(chains, temperatures=t))
        for t in (5, 11, 50)
    }
    return found | {f"evaluation, {n} images x 16": evaluating(n) for n in (50, 1000)}
