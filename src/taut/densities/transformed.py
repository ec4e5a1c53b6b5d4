"""A density on another scale: the change of variables."""

import abc
from typing import Generic, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.checks import check_shape
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity

X = TypeVar("X")
U = TypeVar("U")


class AbstractScale(eqx.Module, Generic[X, U]):
    """An invertible map between events `x` and the events `u` of a base density."""

    @abc.abstractmethod
    def to_base(self, x: X) -> tuple[U, Float[Array, ""]]:
        """`u`, and `log |det du/dx|` there; `-inf` where there is no such `u`."""

    @abc.abstractmethod
    def from_base(self, u: U) -> tuple[X, Float[Array, ""]]:
        """`x`, and `log |det du/dx|` there."""


class Stretch(AbstractScale[Array, Array]):
    """`x = factor u`, with a factor that nothing trains."""

    factor: float = eqx.field(static=True)

    def __check_init__(self):
        if not self.factor > 0:
            raise ValueError(f"Stretch: factor must be positive; got {self.factor}.")

    def to_base(self, x):
        return x / self.factor, -x.size * jnp.log(self.factor).astype(x.dtype)

    def from_base(self, u):
        return u * self.factor, -u.size * jnp.log(self.factor).astype(u.dtype)


class Transformed(AbstractDensity[X], Generic[X, U]):
    """The law of `x` when `u`, on the other side of `scale`, follows `base`."""

    base: AbstractDensity[U]
    scale: AbstractScale[X, U]

    @property
    def exact(self):
        return self.base.exact

    @property
    def reparameterised(self):
        return self.base.reparameterised

    def sample_and_log_prob(self, key):
        refuse_frozen(self.base, "`Transformed.sample_and_log_prob`")
        u, log_base = self.base.sample_and_log_prob(key)
        x, log_det = self.scale.from_base(u)
        return x, log_base + log_det

    def log_prob(self, key, x):
        u, log_det = self.scale.to_base(x)
        check_shape("Transformed: log_det", (), log_det)
        # A point outside the support has a stand-in for `u`, and no density.
        return self.base.log_prob(key, u) + log_det
