"""Critics: a number for a pair, which a bound on mutual information maximises over."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .mlp import MLP


class Separable(eqx.Module):
    """`f(x) . g(y)`: many pairs cost as many networks as there are points."""

    left: Callable
    right: Callable

    def __call__(self, x: Array, y: Array) -> Float[Array, ""]:
        return jnp.vdot(self.left(x), self.right(y))


class Bilinear(eqx.Module):
    """`x^T W y`."""

    weight: Float[Array, "n m"]

    def __call__(self, x: Array, y: Array) -> Float[Array, ""]:
        return jnp.ravel(x) @ self.weight @ jnp.ravel(y)


class Free(eqx.Module):
    """Any function of the pair: `net` sees both in a row."""

    net: Callable

    def __call__(self, x: Array, y: Array) -> Float[Array, ""]:
        return jnp.squeeze(self.net(jnp.concatenate([jnp.ravel(x), jnp.ravel(y)])))


def separable(
    x_size: int, y_size: int, width: int = 32, embedding: int = 16, *, key: PRNGKeyArray
) -> Separable:
    """One hidden layer of tanh on either side."""
    xkey, ykey = jr.split(key)
    left = MLP((x_size, width, embedding), key=xkey)
    return Separable(left, MLP((y_size, width, embedding), key=ykey))


def bilinear(x_size: int, y_size: int, *, key: PRNGKeyArray) -> Bilinear:
    """Weights of a small random start."""
    return Bilinear(0.01 * jr.normal(key, (x_size, y_size)))


def free(x_size: int, y_size: int, width: int = 32, *, key: PRNGKeyArray) -> Free:
    """Two hidden layers of tanh."""
    return Free(MLP((x_size + y_size, width, width, 1), key=key))
