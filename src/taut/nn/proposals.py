"""Small networks for the two-dimensional toy of H-IWAE (Figures 2 and 7)."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .heads import LocLogScale, inverse_softplus, raised_log_scale
from .mlp import MLP, as_built
from .weight_norm import WeightNorm, normed_linear


class Transition(eqx.Module):
    """A Markov proposal `q(z' | z)`: location `g m(h) + (1 - g) z`, `h = elu(z)`.

    The gate `g` starts near 0.27 and the scale near one.
    """

    hidden: WeightNorm
    loc: WeightNorm
    raw: WeightNorm
    gate: WeightNorm

    def __init__(self, size: int = 2, hidden: int = 64, *, key: PRNGKeyArray):
        hkey, lkey, rkey, gkey, skey = jr.split(key, 5)
        self.hidden = normed_linear(size, hidden, key=hkey)
        self.loc = normed_linear(hidden, size, key=lkey)
        small = jr.uniform(skey, (size,), minval=-0.001, maxval=0.001)
        self.raw = eqx.tree_at(
            lambda layer: (layer.scale, layer.bias),
            normed_linear(hidden, size, key=rkey),
            (small, jnp.full(size, inverse_softplus(1.0))),
        )
        self.gate = eqx.tree_at(
            lambda layer: layer.bias,
            normed_linear(hidden, size, key=gkey),
            jnp.full(size, -1.0),
        )

    def __call__(self, z: Float[Array, " size"]) -> LocLogScale:
        h = jax.nn.elu(self.hidden(z))
        gate = jax.nn.sigmoid(self.gate(h))
        loc = gate * self.loc(h) + (1 - gate) * z
        return loc, raised_log_scale(self.raw(h))


class LogWeights(eqx.Module):
    """Learned weights: `log pi_j(z, z_0)` for all `num` branches, adding up to one.

    The paper shows them in Figure 7 and says no more than MLP with softmax; the sizes
    and the ELU are ours.
    """

    net: Callable

    def __init__(self, num: int, size: int = 2, hidden: int = 64, *, key: PRNGKeyArray):
        self.net = MLP((2 * size, hidden, num), jax.nn.elu, as_built, key=key)

    def __call__(
        self, z: Float[Array, " size"], root: Float[Array, " size"]
    ) -> Float[Array, " num"]:
        return jax.nn.log_softmax(self.net(jnp.concatenate([z, root])))
