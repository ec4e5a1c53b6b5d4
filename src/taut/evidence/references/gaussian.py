"""Exact draws of Gaussian posteriors."""

from dataclasses import dataclass

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


@dataclass(frozen=True)
class Posterior:
    """A Gaussian law of a vector."""

    mean: np.ndarray
    scale_tril: np.ndarray

    @classmethod
    def conditioned(
        cls, prior: np.ndarray, design: np.ndarray, y: np.ndarray, noise: float
    ) -> "Posterior":
        """Of z ~ N(0, prior) given y = design z + N(0, noise)."""
        cross = prior @ design.T
        inner = design @ cross + noise * np.eye(len(y))
        gain = np.linalg.solve(inner, cross.T).T
        cov = prior - gain @ cross.T
        cov = 0.5 * (cov + cov.T)
        return cls(gain @ y, np.linalg.cholesky(cov))

    def draw(self, key: PRNGKeyArray, scale: Array | float = 1.0) -> Float[Array, " d"]:
        """One draw, with the spread multiplied by `scale`."""
        noise = jr.normal(key, self.mean.shape)
        return jnp.asarray(self.mean) + scale * (jnp.asarray(self.scale_tril) @ noise)


def posterior(
    design: np.ndarray, y: np.ndarray, *, prior: float, noise: float
) -> Posterior:
    """Of independent weights ~ N(0, prior) given y = design w + N(0, noise)."""
    return Posterior.conditioned(prior * np.eye(design.shape[1]), design, y, noise)
