"""Parameters on every device, batches spread over the mesh's `data` axis."""

import contextlib

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree


def has_data(mesh: Mesh | None) -> bool:
    """Whether batches are to be spread."""
    return mesh is not None and "data" in mesh.axis_names


def known_mesh(mesh: Mesh | None):
    """Within `with`, what is traced can spread particles over the mesh."""
    return contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh)


def split(mesh: Mesh | None, tree: PyTree) -> PyTree:
    """`tree` with its first axis spread over the mesh's `data` axis."""
    if mesh is None or not has_data(mesh):
        return tree
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    hold = lambda x: jax.lax.with_sharding_constraint(x, sharding)
    return jax.tree.map(hold, tree)


def replicate(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """The arrays of `tree`, equal in all processes, on every device of the mesh."""
    if mesh is None:
        return tree
    sharding = NamedSharding(mesh, PartitionSpec())

    def place(leaf):
        if not eqx.is_array(leaf):
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = place(jr.key_data(leaf))
            return jr.wrap_key_data(data, impl=jr.key_impl(leaf))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda i: host[i])

    return jax.tree.map(place, tree)


def check_batch(mesh: Mesh | None, batch_size: int) -> None:
    """The batch must divide among the devices of the `data` axis."""
    if mesh is not None and has_data(mesh) and batch_size % mesh.shape["data"]:
        raise ValueError(
            f"batch_size={batch_size} does not divide over the {mesh.shape['data']} "
            "devices of the mesh's `data` axis; use a multiple of that number."
        )
