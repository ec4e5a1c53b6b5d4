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

    def __check_init__(self):
        _check(self.max_norm)

    def __call__(self, slope):
        alone = lambda a: a
        return jtu.tree_map(lambda g: _shorten(g, self.max_norm, alone, alone), slope)


class ClipBatch(AbstractClip):
    """The norm is that of a whole batch: the `vmap` over examples names its axis.

    One example's steps then depend on the others, so there is no upper end.
    """

    max_norm: float
    axis_name: str = eqx.field(static=True)
    alone: ClassVar[bool] = False

    def __check_init__(self):
        _check(self.max_norm)

    def __call__(self, slope):
        most = lambda a: lax.pmax(a, self.axis_name)
        total = lambda a: lax.psum(a, self.axis_name)
        return jtu.tree_map(lambda g: _shorten(g, self.max_norm, most, total), slope)


def _check(max_norm):
    if not max_norm >= 0:
        raise ValueError(f"A slope's largest norm is at least 0; got {max_norm}.")


def _shorten(slope, max_norm, most, total):
    """`most` and `total` are over all that one norm is of."""
    # In units of the largest element: no square is beyond the type.
    unit = most(lax.stop_gradient(jnp.max(jnp.abs(slope), initial=0.0)))
    direction = slope / jnp.where(unit > 0, unit, 1)
    root = jnp.sqrt(jnp.where(unit > 0, total(jnp.sum(direction**2)), 1))
    return jnp.where(unit * root <= max_norm, slope, direction * (max_norm / root))
