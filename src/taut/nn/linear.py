"""The dense layer of every network here."""

import math

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray


class Linear(eqx.Module):
    """`weight x + bias`, begun as Equinox begins it.

    Written `x weight^T`: under `vmap` the rows of a batch come out as rows, where
    `weight @ x` has them as columns, to be turned at every layer.
    """

    weight: Float[Array, "out size"]
    bias: Float[Array, " out"]

    def __init__(self, size: int, out: int, *, key: PRNGKeyArray):
        wkey, bkey = jr.split(key)
        limit = 1 / math.sqrt(size)
        self.weight = jr.uniform(wkey, (out, size), minval=-limit, maxval=limit)
        self.bias = jr.uniform(bkey, (out,), minval=-limit, maxval=limit)

    def __call__(self, x: Float[Array, " size"]) -> Float[Array, " out"]:
        if x.shape != self.weight.shape[1:]:
            raise ValueError(
                f"A dense layer of {self.weight.shape[1]} inputs met an array of shape "
                f"{x.shape}. Layers are unbatched: use `jax.vmap`."
            )
        return x @ self.weight.T + self.bias
