"""Coins and categories."""

from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int

from ..core.checks import check_shape
from ..core.density import AbstractExact


class Bernoulli(AbstractExact[Array]):
    """Independent coins, as floats 0 and 1."""

    logits: Float[Array, "*shape"]
    shape: tuple[int, ...] = eqx.field(static=True)
    reparameterised: ClassVar[bool] = False
    discrete: ClassVar[bool] = True

    def __init__(self, logits: Float[Array, "*shape"]):
        self.logits = jnp.asarray(logits, jnp.result_type(logits, float))
        self.shape = self.logits.shape

    def draw(self, key):
        check_shape("Bernoulli", self.shape, self.logits)
        coins = jr.bernoulli(key, jax.nn.sigmoid(self.logits))
        return coins.astype(self.logits.dtype)

    def log_density(self, x):
        check_shape("Bernoulli", self.shape, self.logits, x)
        x = jnp.asarray(x, self.logits.dtype)
        coin = (x == 0) | (x == 1) | jnp.isnan(x)  # a NaN stays visible
        return jnp.sum(jnp.where(coin, _log_prob(x, self.logits), -jnp.inf))


# One exponential and no branches, and one exponential more for the slope, where what
# `jax.nn` has would be derived to three: this is the innermost loop of annealing.
@jax.custom_jvp
def _log_prob(x, logits):
    """`x l - softplus(l)`, of a coin: `log sigmoid(l)` of a one, of a zero `(-l)`."""
    signed = (2 * x - 1) * logits
    return jnp.minimum(signed, 0) - jnp.log1p(jnp.exp(-jnp.abs(signed)))


@partial(_log_prob.defjvp, symbolic_zeros=True)
def _log_prob_jvp(primals, tangents):
    (x, logits), (dx, dlogits) = primals, tangents
    tangent = jnp.zeros_like(logits)
    if not isinstance(dlogits, SymbolicZero):
        tangent = (x - jax.nn.sigmoid(logits)) * dlogits
    if not isinstance(dx, SymbolicZero):  # of a relaxed coin; no zero times infinity
        tangent = tangent + logits * dx
    return _log_prob(x, logits), tangent


class Categorical(AbstractExact[Int[Array, ""]]):
    """One of n categories, as an integer."""

    logits: Float[Array, " n"]
    num: int = eqx.field(static=True)
    reparameterised: ClassVar[bool] = False
    discrete: ClassVar[bool] = True

    def __init__(self, logits: Float[Array, " n"]):
        self.logits = jnp.asarray(logits)
        if self.logits.ndim != 1:
            raise ValueError(
                f"Categorical needs logits of shape (n,); got {self.logits.shape}."
            )
        self.num = self.logits.shape[0]

    def draw(self, key):
        check_shape("Categorical (logits)", (self.num,), self.logits)
        return jr.categorical(key, self.logits)

    def log_density(self, x):
        check_shape("Categorical (logits)", (self.num,), self.logits)
        check_shape("Categorical", (), x)
        inside = (x >= 0) & (x < self.num)
        return jnp.where(inside, jax.nn.log_softmax(self.logits)[x], -jnp.inf)
