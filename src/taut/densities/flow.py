"""Normalising flows of FlowJAX, as invertible functions of normal noise."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jax.scipy.stats import norm
from jaxtyping import Array, Float, PyTree

from ..core.checks import check_shape
from ..core.density import AbstractReparameterised


class FlowJAX(AbstractReparameterised[Array]):
    """The law of `bijection.transform(noise, condition)`, `noise` standard normal.

    Unlike `Exact(flow)` it knows the noise behind a draw, so K of them may depend on
    each other (`Correlated`), and a given draw can be explained. Every leaf is an
    array: several flows of one make stack.
    """

    arrays: PyTree[Array]
    condition: Float[Array, " condition"] | None
    static: Any = eqx.field(static=True)

    def __init__(
        self, bijection: Any, condition: Float[Array, " condition"] | None = None
    ):
        _check(bijection, condition)
        self.arrays, self.static = eqx.partition(bijection, eqx.is_array)
        self.condition = condition

    @property
    def bijection(self) -> Any:
        """FlowJAX's own object."""
        return eqx.combine(self.arrays, self.static)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one event."""
        return self.static.shape

    def noise(self, key):
        return jr.normal(key, self.shape)

    def from_noise(self, noise):
        return self.bijection.transform(noise, self.condition)

    def to_noise(self, x):
        check_shape("FlowJAX", self.shape, x)
        return self.bijection.inverse(x, self.condition)

    def log_density(self, x):
        check_shape("FlowJAX", self.shape, x)
        noise, log_det = self.bijection.inverse_and_log_det(x, self.condition)
        return jnp.sum(norm.logpdf(noise)) + log_det


def _check(bijection: Any, condition: Array | None) -> None:
    try:
        from flowjax.bijections import AbstractBijection
    except ImportError as error:
        raise ImportError(
            "The flow needs FlowJAX: `pip install 'taut[flows]'`."
        ) from error
    if not isinstance(bijection, AbstractBijection):
        raise TypeError(
            "FlowJAX: expected a bijection of `flowjax.bijections`, such as "
            f"`coupling_flow(...).bijection`; got {type(bijection).__name__}."
        )
    if condition is None and bijection.cond_shape is not None:
        raise ValueError(
            "FlowJAX: expected a condition of shape "
            f"{bijection.cond_shape} for this bijection; got none."
        )
