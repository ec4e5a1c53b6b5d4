"""The networks of hierarchical importance weighting (Huang et al., 2019, section 5).

A context `c` is made from the image once; root, branches and reverse model are given
it. Sizes: latents 32, context 450, hidden 1920 (MNIST, Omniglot).
"""

import equinox as eqx
import jax
import jax.random as jr
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from .heads import LocLogScale, inverse_softplus, raised_log_scale
from .residual import Residual, residual_linear
from .weight_norm import ContextNorm, WeightNorm, context_linear, normed_linear


class Root(eqx.Module):
    """`q_0(z_0 | c)`, and the posterior of the plain IWAE; starts near `N(0, I)`."""

    loc: Residual
    raw: Residual

    def __init__(self, size: int = 32, context: int = 450, *, key: PRNGKeyArray):
        lkey, rkey = jr.split(key)
        # two biases, each half of what softplus takes to one
        self.loc = _near(0.0, size, context, key=lkey)
        self.raw = _near(inverse_softplus(1.0) / 2, size, context, key=rkey)

    def __call__(self, context: Float[Array, " context"]) -> LocLogScale:
        return self.loc(context), raised_log_scale(self.raw(context))


class ContextHead(eqx.Module):
    """`h = elu(z | c)` in, `(h | c) + (z | c)` and another `(h | c)` out."""

    hidden: ContextNorm
    loc: ContextNorm
    skip: ContextNorm
    raw: ContextNorm

    def __init__(
        self, size: int, hidden: int, out: int, context: int, *, key: PRNGKeyArray
    ):
        hkey, lkey, skey, rkey = jr.split(key, 4)
        self.hidden = context_linear(size, hidden, context, key=hkey)
        self.loc = context_linear(hidden, out, context, key=lkey)
        self.skip = context_linear(size, out, context, key=skey)
        self.raw = context_linear(hidden, out, context, key=rkey)

    def __call__(
        self, z: Float[Array, " size"], context: Float[Array, " context"]
    ) -> LocLogScale:
        h = jax.nn.elu(self.hidden(z, context))
        return self.loc(h, context) + self.skip(z, context), self.raw(h, context)


class Branches(eqx.Module):
    """`q_j(z_j | z_0, c)` for all `num` branches at once, stacked on the first axis."""

    head: ContextHead
    num: int = eqx.field(static=True)

    def __init__(
        self,
        num: int,
        size: int = 32,
        context: int = 450,
        hidden: int = 1920,
        *,
        key: PRNGKeyArray,
    ):
        _check_num(num)
        self.head = ContextHead(size, hidden, num * size, context, key=key)
        self.num = num

    def __call__(
        self, root: Float[Array, " size"], context: Float[Array, " context"]
    ) -> LocLogScale:
        loc, raw = self.head(root, context)
        shape = (self.num, root.shape[0])
        return loc.reshape(shape), raised_log_scale(raw).reshape(shape)


class Reverse(eqx.Module):
    """`r(z_0 | z_j, c)`: the second head is a log variance.

    With `num > 1` the context passes a layer of its own for every branch `j` (allowed
    only with uniform weights); with `num = 1` all branches share one and `j` is unused.
    """

    embed: WeightNorm
    head: ContextHead
    num: int = eqx.field(static=True)

    def __init__(
        self,
        num: int = 1,
        size: int = 32,
        context: int = 450,
        hidden: int = 1920,
        *,
        key: PRNGKeyArray,
    ):
        _check_num(num)
        ekey, hkey = jr.split(key)
        self.embed = normed_linear(context, num * context, key=ekey)
        self.head = ContextHead(size, hidden, size, context, key=hkey)
        self.num = num

    def __call__(
        self,
        z: Float[Array, " size"],
        context: Float[Array, " context"],
        j: Int[ArrayLike, ""],
    ) -> LocLogScale:
        contexts = self.embed(context).reshape(self.num, -1)
        own = contexts[0] if self.num == 1 else contexts[j]
        loc, log_variance = self.head(z, own)
        return loc, log_variance / 2


def _near(centre: ArrayLike, size: int, context: int, *, key: PRNGKeyArray) -> Residual:
    # a block whose output starts within about 0.002 of twice `centre`
    bkey, *keys = jr.split(key, 5)
    block = residual_linear(context, size, key=bkey)
    shift = (0.0, 0.0, centre, centre)
    values = [
        c + jr.uniform(k, (size,), minval=-0.001, maxval=0.001)
        for c, k in zip(shift, keys)
    ]
    return eqx.tree_at(
        lambda b: (b.second.scale, b.skip.scale, b.second.bias, b.skip.bias),
        block,
        values,
    )


def _check_num(num: int) -> None:
    if num < 1:
        raise ValueError(f"expected at least one branch; got num = {num}.")
