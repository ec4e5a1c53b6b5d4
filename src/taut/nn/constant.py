"""Arrays that a network carries but does not learn, and counting what it does learn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, ArrayLike, Float, PyTree


class Constant(eqx.Module):
    """Data inside a network (a train mean): no gradient reaches it, no count."""

    value: Float[Array, "..."]

    def __init__(self, value: ArrayLike):
        self.value = jnp.asarray(value, float)

    def __call__(self) -> Float[Array, "..."]:
        return jax.lax.stop_gradient(self.value)


def trainable(tree: PyTree) -> PyTree[bool]:
    """A filter for `eqx.partition`: true on inexact arrays outside every `Constant`."""
    learned = lambda leaf: not _is_constant(leaf) and eqx.is_inexact_array(leaf)
    return jtu.tree_map(learned, tree, is_leaf=_is_constant)


def num_parameters(tree: PyTree) -> int:
    """How many numbers `tree` learns."""
    return sum(leaf.size for leaf in jtu.tree_leaves(eqx.filter(tree, trainable(tree))))


def _is_constant(node) -> bool:
    return isinstance(node, Constant)
