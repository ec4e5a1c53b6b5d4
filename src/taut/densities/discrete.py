"""Coins and categories."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
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
        self.logits = jnp.asarray(logits)
        self.shape = self.logits.shape

    def draw(self, key):
        check_shape("Bernoulli", self.shape, self.logits)
        coins = jr.bernoulli(key, jax.nn.sigmoid(self.logits))
        return coins.astype(self.logits.dtype)

    def log_density(self, x):
        check_shape("Bernoulli", self.shape, self.logits, x)
        x = jnp.asarray(x, self.logits.dtype)
        coins = jnp.all((x == 0) | (x == 1) | jnp.isnan(x))  # a NaN stays visible
        # log sigmoid(l) of a one, log sigmoid(-l) of a zero
        log_prob = jnp.sum(_log_sigmoid((2 * x - 1) * self.logits))
        return jnp.where(coins, log_prob, -jnp.inf)


# As in `jax.nn`, but one exponential and no branches, and its slope one exponential
# more: this is the innermost loop of annealing.
@jax.custom_jvp
def _log_sigmoid(x):
    return jnp.minimum(x, 0) - jnp.log1p(jnp.exp(-jnp.abs(x)))


@_log_sigmoid.defjvp
def _log_sigmoid_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _log_sigmoid(x), jax.nn.sigmoid(-x) * dx


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
