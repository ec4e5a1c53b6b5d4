"""The sheet's scalar Gaussian model, a guide, and its posterior."""

import equinox as eqx
import jax.numpy as jnp

import taut

# The sheet's fixture: z ~ N(0, 1), x given z ~ N(z, 0.5), x = 1.5, q = N(0.5, 1).
LOG_Z = -1.87167


class Noisy(eqx.Module):
    def __call__(self, z):
        return taut.Normal(z, jnp.full_like(z, 0.5 * jnp.log(0.5)))


def fixture():
    joint = taut.Joint(taut.Normal(jnp.zeros(1), jnp.zeros(1)), Noisy())
    return taut.Conditioned(joint, jnp.array([1.5]))


def guide():
    return taut.Normal(jnp.array([0.5]), jnp.zeros(1))


def posterior():
    return taut.Normal(jnp.array([1.0]), jnp.full(1, -0.5 * jnp.log(3.0)))
