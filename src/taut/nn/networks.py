"""The dense networks of the energy and annealed-training papers, by name and size."""

import math

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .heads import (
    BernoulliDecoder,
    Encoder,
    Energy,
    NormalDecoder,
    TwoHeadedEncoder,
    mean_logits,
)
from .mlp import MLP, Start, as_built, glorot, linear

Shape = tuple[int, ...]


def toy_energy(size: int = 2, *, key: PRNGKeyArray) -> Energy:
    """Energy or acceptance network of the 2-d targets: 2 x 20 tanh."""
    return Energy(MLP((size, 20, 20, 1), key=key))


def latent_energy(latent: int = 50, *, key: PRNGKeyArray) -> Energy:
    """Energy of a VAE's prior: 2 x 100 tanh on the raw latent."""
    return Energy(MLP((latent, 100, 100, 1), key=key))


def pixel_energy(
    shape: Shape, mean: Float[Array, "..."] | float = 0.0, *, key: PRNGKeyArray
) -> Energy:
    """Energy on images: 2 x 100 tanh on the pixels less their train mean.

    Continuous images live in logit space with the mean already removed: leave it out.
    """
    return Energy(MLP((math.prod(shape), 100, 100, 1), key=key), mean)


def momentum_encoder(size: int = 50, *, key: PRNGKeyArray) -> Encoder:
    """`q(rho_T | x_T)` of Hamiltonian importance sampling: 2 x 300 tanh, raw `x_T`."""
    return Encoder(MLP((size, 300, 300, 2 * size), key=key))


def binary_vae(
    mean: Float[Array, "..."], latent: int = 50, *, key: PRNGKeyArray
) -> tuple[Encoder, BernoulliDecoder]:
    """The energy papers' VAE for binary images with this train mean: 2 x 300 tanh."""
    ekey, dkey = jr.split(key)
    shape = jnp.shape(mean)
    size = math.prod(shape)
    net = MLP((latent, 300, 300, size), key=dkey)
    return (
        Encoder(MLP((size, 300, 300, 2 * latent), key=ekey), mean),
        BernoulliDecoder(net, shape, mean_logits(mean)),
    )


def small_vae(shape: Shape, *, key: PRNGKeyArray) -> tuple[Encoder, NormalDecoder]:
    """EIM's "small VAE" for continuous images: 1 x 20 tanh, latent 10."""
    return _normal_vae(shape, (20,), 10, key=key)


def large_vae(shape: Shape, *, key: PRNGKeyArray) -> tuple[Encoder, NormalDecoder]:
    """EIM's "VAE" for continuous images: 2 x 300 tanh, latent 50."""
    return _normal_vae(shape, (300, 300), 50, key=key)


def annealed_vae(
    shape: Shape, latent: int = 50, *, key: PRNGKeyArray
) -> tuple[TwoHeadedEncoder, BernoulliDecoder]:
    """The VAE of AIS training (Ding and Freedman): 2 x 200 tanh, no data mean."""
    return _two_headed_vae(shape, latent, as_built, key=key)


def burda_vae(
    mean: Float[Array, "..."], latent: int = 50, *, key: PRNGKeyArray
) -> tuple[TwoHeadedEncoder, BernoulliDecoder]:
    """The same sizes begun as by Burda et al.: Glorot, and logits at the train mean.

    The mean sits in the last layer's bias, learned like any other.
    """
    encoder, decoder = _two_headed_vae(jnp.shape(mean), latent, glorot, key=key)
    bias = lambda decoder: decoder.net.chain.layers[-1].bias
    return encoder, eqx.tree_at(bias, decoder, jnp.ravel(mean_logits(mean)))


def _normal_vae(
    shape: Shape, hidden: Shape, latent: int, *, key: PRNGKeyArray
) -> tuple[Encoder, NormalDecoder]:
    ekey, dkey = jr.split(key)
    size = math.prod(shape)
    return (
        Encoder(MLP((size, *hidden, 2 * latent), key=ekey)),
        NormalDecoder(MLP((latent, *hidden, size), key=dkey), shape),
    )


def _two_headed_vae(
    shape: Shape, latent: int, start: Start, *, key: PRNGKeyArray
) -> tuple[TwoHeadedEncoder, BernoulliDecoder]:
    bkey, lkey, skey, dkey = jr.split(key, 4)
    size, width = math.prod(shape), 200
    body = MLP((size, width, width), jnp.tanh, start, jnp.tanh, key=bkey)
    loc = linear(width, latent, start, key=lkey)
    log_scale = linear(width, latent, start, key=skey)
    net = MLP((latent, width, width, size), jnp.tanh, start, key=dkey)
    return TwoHeadedEncoder(body, loc, log_scale), BernoulliDecoder(net, shape)
