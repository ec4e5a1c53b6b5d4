"""Which particles go on: resampling schemes, and their laws given one lane's past."""

import abc

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..core.checks import split
from ..core.gradient import stop
from ..core.numerics import log_mean_exp, log_sum_exp, normalised


class AbstractResampling(eqx.Module):
    """Ancestors of K lanes: each lane's is `i` with probability `weight_i`, and the
    joint law does not change when lanes are renamed.
    """

    @abc.abstractmethod
    def draw(
        self, key: PRNGKeyArray, log_weight: Float[Array, " K"]
    ) -> Int[Array, " K"]:
        """Ancestors of all lanes."""

    @abc.abstractmethod
    def draw_retained(
        self, key: PRNGKeyArray, log_weight: Float[Array, " K"]
    ) -> Int[Array, " K"]:
        """The same law, given that the ancestor of lane 0 is 0."""


class Multinomial(AbstractResampling):
    """Independent ancestors; so they are, given one of them."""

    def draw(self, key, log_weight):
        return jr.categorical(key, log_weight, shape=log_weight.shape)

    def draw_retained(self, key, log_weight):
        return self.draw(key, log_weight).at[0].set(0)


class Systematic(AbstractResampling):
    """One offset for a whole grid of K points, and the lanes in random order."""

    def draw(self, key, log_weight):
        ukey, pkey = split(key)
        offset = jr.uniform(ukey, (), log_weight.dtype)
        return jr.permutation(pkey, _ancestors(log_weight, offset))

    def draw_retained(self, key, log_weight):
        # Given the offset, lane 0 descends from 0 with probability (offspring of 0)/K,
        # so the offset's density is in proportion to that offspring: with K w_0 = m + f
        # it is m + 1 below f and m above. (By rotation it does not matter that the
        # retained particle comes first.) The other lanes are in random order.
        ukey, vkey, pkey = split(key, 3)
        share = log_weight.shape[0] * _weights(log_weight)[0]
        whole = jnp.floor(share)
        part = share - whole
        below = jr.uniform(ukey, (), share.dtype) * share < (whole + 1) * part
        v = jr.uniform(vkey, (), share.dtype)
        offset = jnp.where(below, part * v, part + (1 - part) * v)
        others = jr.permutation(pkey, _ancestors(log_weight, offset)[1:])
        return jnp.concatenate([jnp.zeros(1, others.dtype), others])


def _weights(log_weight: Float[Array, " K"]) -> Float[Array, " K"]:
    """Normalised; equal where all are zero."""
    probs = normalised(log_weight, log_sum_exp(log_weight))
    return jnp.where(jnp.sum(probs) > 0, probs, 1 / probs.shape[0])


def _ancestors(log_weight: Float[Array, " K"], offset: Float[Array, ""]) -> Array:
    """In order; as many of each as grid points fall on its share of the unit."""
    num = log_weight.shape[0]
    ends = jnp.cumsum(_weights(log_weight))
    grid = (offset + jnp.arange(num, dtype=offset.dtype)) / num
    grid = jnp.minimum(grid, 1 - jnp.finfo(grid.dtype).epsneg).astype(ends.dtype)
    return jnp.searchsorted(ends / ends[-1], grid, side="right").astype(jnp.int32)


class Pool(eqx.Module):
    """The product of mean weights so far, and the weights since the last resampling."""

    log_z: Float[Array, ""]
    log_weight: Float[Array, " K"]

    def resample(
        self,
        key: PRNGKeyArray,
        scheme: AbstractResampling,
        threshold: float | None,
        *,
        retained: bool,
        due: Bool[Array, ""] | bool = True,
    ) -> tuple["Pool", Int[Array, " K"], Float[Array, ""]]:
        """The pool afterwards, each lane's ancestor, and the effective sample size.

        With a threshold, lanes are kept while the size is at least that share of K.
        The ancestors are drawn from held weights: no gradient flows through the choice.
        """
        weights = stop(self.log_weight)
        probs = _weights(weights)
        size = 1 / jnp.sum(probs**2)
        if threshold is not None:
            due = due & (size < threshold * probs.shape[0])
        draw = scheme.draw_retained if retained else scheme.draw
        stay = jnp.arange(probs.shape[0], dtype=jnp.int32)
        ancestors = jnp.where(due, draw(key, weights).astype(jnp.int32), stay)
        gained = self.log_z + log_mean_exp(self.log_weight)
        log_z = jnp.where(due, gained, self.log_z)
        log_weight = jnp.where(due, 0.0, self.log_weight)
        return Pool(log_z, log_weight), ancestors, size
