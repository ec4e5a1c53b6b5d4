"""Buffered SVI with little networks on made images."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from taut.papers.buffered.evaluation import Examination
from taut.papers.buffered.model import Network
from taut.papers.buffered.settings import BufferedVAE
from taut.papers.experiment import Splits
from taut.train import EXAMPLES, Context

LITTLE = Network(latent=3, encoder=3, decoder=3, kernels=(3, 3), stages=2)
SIDE = (8, 8, 1)


def little(inference, **changes):
    made = BufferedVAE(
        steps=4,
        inference=inference,
        network=LITTLE,
        batch_size=6,
        examination=Examination(3, (2, 4), 2, train_images=2),
    )
    return replace(made, **changes)


def splits(shape=SIDE, num=12, levels=2):
    images = np.random.default_rng(0).integers(0, levels, (num, *shape))
    x = images.astype(np.float32)
    return Splits(x, x[:4], x[4:8], digest="made", mean=x.mean(0))


def one_step(settings, shape=SIDE, num=3):
    """Loss, metrics, new state and gradients as a function of a key and a batch."""
    (phase,) = settings.phases()

    def step(key, xs):
        model = settings.make(key, splits(shape))
        state = settings.state()

        def mean(model):
            def one(key, x):
                return phase.loss(model, Context(key, key, jnp.int32(0), state), x)

            losses, aux = jax.vmap(one, axis_name=EXAMPLES)(jr.split(key, num), xs)
            return jnp.mean(losses), jax.tree.map(lambda a: jnp.mean(a, 0), aux)

        (loss, aux), slope = eqx.filter_value_and_grad(mean, has_aux=True)(model)
        return loss, aux, phase.update(state, aux), slope

    return step, jnp.zeros((num, *shape))
