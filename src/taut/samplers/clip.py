"""Rules that shorten the steps of a refinement."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, Float, PyTree


class AbstractClip(eqx.Module):
    """Bounds the norm of a slope, array by array (say, means and log scales apart)."""

    alone: eqx.AbstractVar[bool]  # does it look at this example only?

    @abc.abstractmethod
    def __call__(
        self, slope: PyTree[Float[Array, "..."]]
    ) -> PyTree[Float[Array, "..."]]:
        """The slope, no longer than allowed."""


class Clip(AbstractClip):
    """Each array of the proposal has its slope bounded, example by example."""

    max_norm: float
    alone: ClassVar[bool] = True

    def __call__(self, slope):
        return jtu.tree_map(lambda g: _shorten(g, jnp.sum(g**2), self.max_norm), slope)


class ClipBatch(AbstractClip):
    """The norm is that of a whole batch: the `vmap` over examples names its axis.

    One example's steps then depend on the others, so there is no upper end.
    """

    max_norm: float
    axis_name: str = eqx.field(static=True)
    alone: ClassVar[bool] = False

    def __call__(self, slope):
        total = lambda g: lax.psum(jnp.sum(g**2), self.axis_name)
        return jtu.tree_map(lambda g: _shorten(g, total(g), self.max_norm), slope)


def _shorten(slope, squared_norm, max_norm):
    norm = jnp.sqrt(squared_norm + 1e-12)
    return slope * jnp.minimum(1.0, max_norm / norm)
