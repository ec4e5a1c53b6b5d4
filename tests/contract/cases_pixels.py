"""Images drawn pixel by pixel."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import taut
from taut.densities.autoregressive import Autoregressive
from taut.nn.pixel_heads import BernoulliHead
from taut.nn.pixelcnn import PixelCNN
from taut.nn.pixelcnn_sampling import ancestral

from .registry import DensityCase, density_case

SHAPE = (2, 2, 1)


@density_case
def autoregressive():
    """A little PixelCNN's binary images, beside fair coins."""
    make = lambda key: PixelCNN(SHAPE, 1, kernels=(3,), channels=2, maps=1, key=key)
    rng = np.random.default_rng(11)
    network = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape) / 2),
        eqx.filter_eval_shape(make, jr.key(0)),
    )
    head = BernoulliHead(taut.Bernoulli)
    density = Autoregressive(network, head, jnp.array([0.4]), ancestral)
    return DensityCase(density, taut.Bernoulli(jnp.zeros(SHAPE)))
