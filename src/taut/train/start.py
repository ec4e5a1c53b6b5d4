"""The state that training begins from."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from .sharding import known_mesh
from .state import Best, TrainState, owned, polyak_average
from .step import Recipe, metrics_at, order_keys

# Stream of a seed's key that its parameters are made with.
MAKE = 3


def derive_keys(key, params, seeds: int | None) -> tuple[Any, Any, Any]:
    """The run's key(s), its parameters, and those of one seed.

    Seed `i` has the key `k = fold_in(key, i)` and the parameters
    `params(fold_in(k, 3))`; without seeds, key and parameters are as given.
    """
    if seeds is None:
        return key, params, params
    if not callable(params) or seeds < 1:
        raise TypeError(
            f"With seeds={seeds}, params must be a function make(key) -> parameters, "
            f"and seeds at least 1; got {type(params)}."
        )
    keys = jax.vmap(lambda i: jr.fold_in(key, i))(jnp.arange(seeds))
    make = lambda k: params(jr.fold_in(k, MAKE))
    return keys, eqx.filter_vmap(make)(keys), make(keys[0])


def storage_dtype(compute_dtype) -> Any:
    """In which precision parameters are kept: never less than float32."""
    if compute_dtype is None:
        return None
    dtype = jnp.dtype(compute_dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"compute_dtype must be a floating-point type, got {dtype}.")
    if dtype == jnp.float64 and not jax.config.read("jax_enable_x64"):
        raise ValueError(
            "compute_dtype=float64 needs jax.config.update('jax_enable_x64', True) "
            "before the first array is made."
        )
    return jnp.promote_types(dtype, jnp.float32)


def begin(recipe: Recipe, source, keys, params, state, validated) -> TrainState:
    """Step 0: fresh optimisers, averages and sums."""
    many = recipe.seeds is not None
    over_seeds = eqx.filter_vmap if many else (lambda function: function)
    state = _spread(state, recipe.seeds)
    optimisers = tuple(
        over_seeds(phase.optimiser.init)(eqx.filter(params, mask))
        for phase, mask in zip(recipe.phases, recipe.masks)
    )
    best = None
    if validated:
        shape = (recipe.seeds,) if many else ()
        best = Best(
            jnp.full(shape, -jnp.inf, jnp.float32),
            jnp.zeros(shape, jnp.int32),
            params,
            state,
        )
    polyak = polyak_average(recipe.polyak).init(
        eqx.filter(params, eqx.is_inexact_array)
    )
    zero = jnp.int32(0)
    sums = _empty_sums(recipe, source, params, state, keys)
    return owned(
        TrainState(
            params, optimisers, state, polyak, best, keys, zero, sums, zero, zero
        )
    )


def _spread(state, seeds: int | None):
    # Every seed begins with the same gradient-free state.
    if seeds is None:
        return state
    repeat = lambda a: jnp.broadcast_to(a, (seeds, *a.shape)) if eqx.is_array(a) else a
    return jax.tree.map(repeat, state)


def _empty_sums(recipe: Recipe, source, params, state, keys):
    # The metrics' names and types, by tracing them; faults of a loss show here.
    zero = jnp.int32(0)

    def metrics(params, state, key):
        orders = source.orders(order_keys(key), zero, 1)
        return metrics_at(recipe, source, params, state, key, (zero, zero, orders))

    many = recipe.seeds is not None
    run = eqx.filter_vmap(metrics) if many else metrics
    with known_mesh(recipe.mesh):
        shapes = eqx.filter_eval_shape(run, params, state, keys)
    return {name: jnp.zeros(s.shape, s.dtype) for name, s in shapes.items()}
