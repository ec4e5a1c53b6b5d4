"""Draws of one dimension from a fine grid, uniform within a cell."""

from dataclasses import dataclass

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


@dataclass(frozen=True)
class Grid:
    """The law with these log densities at equally spaced points, by the midpoint rule:
    as exact as the grid is fine.
    """

    points: np.ndarray
    log_density: np.ndarray

    @property
    def log_z(self) -> float:
        return float(np.logaddexp.reduce(self.log_density) + np.log(self.step))

    @property
    def step(self) -> float:
        return float(self.points[1] - self.points[0])

    def draw(self, key: PRNGKeyArray) -> Float[Array, ""]:
        """By inversion: a cell by its weight, then a place in it."""
        ikey, ukey = jr.split(key)
        w = np.exp(self.log_density - np.max(self.log_density))
        ends = np.cumsum(w) / np.sum(w)
        i = jnp.searchsorted(jnp.asarray(ends), jr.uniform(ikey))
        place = jr.uniform(ukey, minval=-0.5, maxval=0.5)
        return jnp.asarray(self.points)[i] + self.step * place
