"""One run of a sampler on the shared Gaussian problem."""

import jax
import jax.random as jr

from contract import problems as p


def run(sampler, seed=0):
    return jax.jit(lambda key: sampler.run(key, p.gaussian_target()))(jr.key(seed))
