"""A scalar Gaussian model, a guide, and its posterior: `z ~ N(0, 1)`, `x` given `z` is
`N(z, 0.5)`, `x = 1.5`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

import taut

LOG_Z = -1.87167


class Decoder(eqx.Module):
    slope: jax.Array

    def __call__(self, z):
        return taut.Normal(self.slope * z, jnp.full_like(z, 0.5 * jnp.log(0.5)))


def model():
    prior = taut.Normal(jnp.zeros(1), jnp.zeros(1))
    return taut.Joint(prior, Decoder(jnp.ones(1)))


def target():
    return taut.Conditioned(model(), jnp.array([1.5]))


def start():
    return taut.Normal(jnp.array([0.5]), jnp.array([0.0]))


def posterior():
    return taut.Normal(jnp.array([1.0]), jnp.full(1, -0.5 * jnp.log(3.0)))
