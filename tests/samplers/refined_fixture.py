"""What samplers return on the scalar Gaussian model, run after run."""

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from scalar_gaussian import target


def values(sampler, seed=0, num=1):
    run = lambda key: sampler.run(key, target())
    return eqx.filter_jit(jax.vmap(run))(jr.split(jr.key(seed), num))


def log_z(sampler, seed, num):
    one = lambda key: sampler.run(key, target()).log_z
    return np.asarray(jax.jit(jax.vmap(one))(jr.split(jr.key(seed), num)))
