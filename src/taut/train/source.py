"""Where a step's examples come from: arrays on the device, or a sampler."""

import abc
import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, PyTree


class AbstractSource(eqx.Module):
    """Batches as a pure function of (key, step), so that resuming needs no state."""

    batch_size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def epoch(self, step: int) -> int:
        """The epoch that `step` belongs to."""

    @abc.abstractmethod
    def orders(
        self, keys: PRNGKeyArray, epoch: Int[Array, ""], span: int
    ) -> Int[Array, "*seeds epochs size"] | None:
        """The orders of all epochs that `span` steps from inside `epoch` can meet,
        for one key or one per seed."""

    @abc.abstractmethod
    def batch(
        self,
        key: PRNGKeyArray,
        step: Int[Array, ""],
        epoch: Int[Array, ""],
        orders: Int[Array, "epochs size"] | None,
    ) -> PyTree:
        """The examples of `step`; row 0 of `orders` belongs to `epoch`."""


class Resident(AbstractSource):
    """A pytree of arrays held on the device. Epoch `e` visits it in the order
    `permutation(fold_in(key, e))`; the last partial batch of an epoch is dropped."""

    data: PyTree[Array]
    batch_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def epoch(self, step: int) -> int:
        return step // (self.size // self.batch_size)

    def orders(self, keys, epoch, span):
        count = -(-span // (self.size // self.batch_size)) + 1
        return permutations(keys, epoch, count, self.size)

    def batch(self, key, step, epoch, orders):
        assert orders is not None
        current, place = jnp.divmod(step, self.size // self.batch_size)
        rows = jax.lax.dynamic_slice(
            orders[current - epoch], (place * self.batch_size,), (self.batch_size,)
        )
        take = lambda a: a.at[rows].get(mode="promise_in_bounds")
        return jax.tree.map(take, self.data)


class Drawn(AbstractSource):
    """Fresh examples `draw(key)` for every step: data without end."""

    draw: Callable[[PRNGKeyArray], PyTree]
    batch_size: int = eqx.field(static=True)

    def epoch(self, step: int) -> int:
        return 0

    def orders(self, keys, epoch, span):
        return None

    def batch(self, key, step, epoch, orders):
        return jax.vmap(self.draw)(example_keys(key, self.batch_size))


@functools.partial(jax.jit, static_argnums=(2, 3))
def permutations(keys, epoch, count: int, size: int):
    """Orders of the epochs `epoch`, ..., `epoch + count - 1`."""
    order = lambda key, i: jr.permutation(jr.fold_in(key, epoch + i), size)
    orders = lambda key: jax.vmap(lambda i: order(key, i))(jnp.arange(count))
    found = orders(keys) if keys.ndim == 0 else jax.vmap(orders)(keys)
    return found.astype(jnp.int32)


def example_keys(key: PRNGKeyArray, batch_size: int) -> PRNGKeyArray:
    """Key of example `i` is `fold_in(key, i)`, on any number of devices."""
    return jax.vmap(lambda i: jr.fold_in(key, i))(jnp.arange(batch_size))


def as_source(data, batch_size: int) -> AbstractSource:
    """A source from a pytree of arrays or a function `draw(key)`."""
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, got {batch_size!r}.")
    if callable(data):
        return Drawn(draw=data, batch_size=batch_size)
    leaves = jax.tree.leaves(data)
    if not leaves or not all(isinstance(a, jax.Array | np.ndarray) for a in leaves):
        raise TypeError(
            "data must be a pytree of arrays with the examples along the first axis, "
            f"or a function draw(key) -> example; got {jax.tree.structure(data)}."
        )
    sizes = {a.shape[0] if a.ndim else None for a in leaves}
    if len(sizes) != 1 or None in sizes:
        raise ValueError(
            "All arrays of data must have the same number of examples along their "
            f"first axis, got shapes {[a.shape for a in leaves]}."
        )
    size = leaves[0].shape[0]
    if size < batch_size:
        raise ValueError(
            f"data holds {size} examples, fewer than batch_size={batch_size}; "
            f"use batch_size={size} or less."
            if size
            else "data holds no examples."
        )
    return Resident(
        data=jax.tree.map(jnp.asarray, data), batch_size=batch_size, size=size
    )
