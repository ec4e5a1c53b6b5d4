"""Early, plain errors: what was expected, what came, what to do."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.dtypes import prng_key
from jaxtyping import Array, PRNGKeyArray


def split(key: PRNGKeyArray, num: int = 2) -> PRNGKeyArray:
    """`jax.random.split` that takes typed keys only."""
    return jr.split(_typed(key), num)


def particle_keys(key: PRNGKeyArray, num: int) -> PRNGKeyArray:
    """Particle `k` has the key `fold_in(key, k)`: for any `num`, chunks, devices.

    Under a mesh (`jax.set_mesh`) with an axis `particles` they are spread over it,
    and with them what is computed from each.
    """
    keys = jax.vmap(jr.fold_in, (None, 0))(_typed(key), jnp.arange(num))
    devices = dict(jax.sharding.get_abstract_mesh().shape).get("particles", 1)
    if devices == 1 or num % devices:
        return keys
    spread = jax.sharding.PartitionSpec("particles")
    return jax.lax.with_sharding_constraint(keys, spread)


def _typed(key: PRNGKeyArray) -> PRNGKeyArray:
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, prng_key)):
        raise TypeError(
            f"Expected a typed key, as `jax.random.key(seed)` makes it; got {key!r}. "
            "Legacy keys (`jax.random.PRNGKey`) convert by `jax.random.wrap_key_data`."
        )
    if key.shape != ():
        raise ValueError(
            f"Expected one key; got an array of keys of shape {key.shape}. "
            "Everything is unbatched: use `jax.vmap`."
        )
    return key


def check_shape(name: str, shape: tuple[int, ...], *arrays: Array) -> None:
    """Events (and parameters) of one density have its declared shape."""
    for array in arrays:
        if jnp.shape(array) != shape:
            raise ValueError(
                f"{name} has events of shape {shape}, but met an array of shape "
                f"{jnp.shape(array)}. Densities are unbatched: use `jax.vmap`."
            )


def check_scalar(name: str, value: Array) -> Array:
    """A log density is one real number."""
    shape, dtype = jnp.shape(value), jnp.result_type(value)
    if shape != () or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"{name} must return one real number; got {dtype} of shape {shape}. "
            "Sum over the event, and batch with `jax.vmap`."
        )
    return jnp.asarray(value)


def check_at_least(name: str, value: int, least: int) -> None:
    """Static counts: particles, steps."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}; got {value}.")


def check_chunk(name: str, chunk: int | None) -> None:
    """How many at a time; `None` is all at once."""
    if chunk is not None:
        check_at_least(name, chunk, 1)
