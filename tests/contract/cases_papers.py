"""The targets of the papers' own examples."""

import jax
import jax.numpy as jnp
import jax.random as jr

import taut
from taut.papers.hierarchical.toy import LOG_Z, CurvedRing, log_ring

from .registry import SamplerCase, sampler_case

WIDTH, CELLS = 9.0, 601  # half a side of the grid, and cells along it


@sampler_case
def ring_of_h_iwae():
    """Four draws from a wide proposal; exact draws by a fine grid."""
    axis = jnp.linspace(-WIDTH, WIDTH, CELLS)
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    mass = jnp.cumsum(jnp.exp(jax.vmap(log_ring)(grid)))
    side = axis[1] - axis[0]

    def posterior(key):
        ckey, jkey = jr.split(key)
        cell = jnp.searchsorted(mass, jr.uniform(ckey) * mass[-1])
        z = grid[cell] + side * jr.uniform(jkey, (2,), minval=-0.5, maxval=0.5)
        return z, log_ring(z)

    proposal = taut.Normal(jnp.zeros(2), jnp.full(2, jnp.log(2.6)))
    return SamplerCase(taut.Importance(proposal, 4), CurvedRing(), posterior, LOG_Z)
