"""A scalar Gaussian model to refine draws for, and what its samplers return."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import taut

LOG_Z = -1.87167  # N(0, 1) prior, variance 0.5, x = 1.5


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


def values(sampler, seed=0, num=1):
    run = lambda key: sampler.run(key, target())
    return eqx.filter_jit(jax.vmap(run))(jr.split(jr.key(seed), num))


def log_z(sampler, seed, num):
    one = lambda key: sampler.run(key, target()).log_z
    return np.asarray(jax.jit(jax.vmap(one))(jr.split(jr.key(seed), num)))
