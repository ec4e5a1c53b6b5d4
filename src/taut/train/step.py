"""One step: every phase in turn, on one batch, as a pure function of the state."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from .phase import EXAMPLES, Context, Phase, cast
from .sharding import has_data, split
from .source import AbstractSource, example_keys
from .state import TrainState, polyak_average

# Streams of the run's key.
ORDERS, STEPS, VALIDATION = 0, 1, 2


@dataclass(frozen=True)
class Recipe:
    """What stays the same during a run and is not an array."""

    phases: tuple[Phase, ...]
    names: tuple[str, ...]
    masks: tuple[PyTree[bool], ...]
    prepare: Any
    polyak: float | None
    compute_dtype: jnp.dtype | None
    seeds: int | None
    mesh: Mesh | None


class Update(eqx.Module):
    """What one phase did: its loss, metrics, gradients and count of bad numbers."""

    loss: Float[Array, ""]
    aux: PyTree
    gradients: PyTree
    bad: Int[Array, ""]


class Batch(eqx.Module):
    """One step's examples, with the keys that go with them."""

    key: PRNGKeyArray
    examples: PyTree
    step: Int[Array, ""]


def order_keys(keys: PRNGKeyArray) -> PRNGKeyArray:
    """The key(s) of the epochs' orders, one per seed."""
    own = lambda key: jr.fold_in(key, ORDERS)
    return own(keys) if keys.ndim == 0 else jax.vmap(own)(keys)


def over_examples(recipe: Recipe, function):
    """`vmap` over examples. It names its axis `data` for shardings where the mesh has
    one, so that those asked for inside (particles) go with the one outside."""
    data = "data" if has_data(recipe.mesh) else None
    return jax.vmap(function, axis_name=EXAMPLES, spmd_axis_name=data)


def draw_batch(
    recipe: Recipe, source: AbstractSource, key, step, epoch, orders
) -> Batch:
    """The prepared examples of `step`."""
    step_key = jr.fold_in(jr.fold_in(key, STEPS), step)
    x = source.batch(jr.fold_in(step_key, 0), step, epoch, orders)
    if recipe.prepare is not None:
        keys = example_keys(jr.fold_in(step_key, 1), source.batch_size)
        x = over_examples(recipe, recipe.prepare)(
            split(recipe.mesh, keys), split(recipe.mesh, x)
        )
    return Batch(step_key, split(recipe.mesh, cast(x, recipe.compute_dtype)), step)


def mean_loss_of(recipe: Recipe, index: int, held, state, batch: Batch):
    """The loss of phase `index` over a batch, as a function of what the phase trains:
    the mean, how many examples have none that is finite, and the mean aux."""
    phase = recipe.phases[index]
    size = jax.tree.leaves(batch.examples)[0].shape[0]
    key = jr.fold_in(batch.key, 2 + index)
    shared = jr.fold_in(key, 0)
    keys = split(recipe.mesh, example_keys(jr.fold_in(key, 1), size))

    def mean_loss(chosen):
        full = cast(eqx.combine(chosen, held), recipe.compute_dtype)

        def one(key, x):
            context = Context(key, shared, batch.step, state)
            return checked(phase, phase.loss(full, context, x))

        losses, aux = over_examples(recipe, one)(keys, batch.examples)
        aux = jax.tree.map(lambda a: jnp.mean(widen(a), axis=0), aux)
        losses = widen(losses)
        return jnp.mean(losses), (jnp.sum(~jnp.isfinite(losses)), aux)

    return mean_loss


def run_phase(recipe: Recipe, index: int, params, optimiser, state, batch: Batch):
    """One gradient step of phase `index`, from the parameters it is given."""
    phase = recipe.phases[index]
    chosen, held = eqx.partition(params, recipe.masks[index])
    mean_loss = mean_loss_of(recipe, index, held, state, batch)
    (loss, (bad, aux)), gradients = jax.value_and_grad(mean_loss, has_aux=True)(chosen)
    step = optax.with_extra_args_support(phase.optimiser).update
    updates, optimiser = step(gradients, optimiser, chosen, value=loss)
    chosen = optax.apply_updates(chosen, updates)
    bad = bad + sum(jnp.sum(~jnp.isfinite(p)) for p in jax.tree.leaves(chosen))
    if phase.update is not None:
        state = phase.update(state, aux)
    update = Update(loss, aux, gradients, bad.astype(jnp.int32))
    return eqx.combine(chosen, held), optimiser, state, update


def checked(phase: Phase, answer):
    """The loss's answer, if it is `(scalar, aux)`."""
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise TypeError(
            f"The loss {phase.loss} must return (scalar, aux), got {type(answer)}. "
            "Where there is nothing to report, return (scalar, None)."
        )
    loss, aux = answer
    if jnp.shape(loss) != () or not jnp.issubdtype(jnp.result_type(loss), jnp.floating):
        raise TypeError(
            f"The loss {phase.loss} is per example and must return a real scalar, got "
            f"shape {jnp.shape(loss)} of type {jnp.result_type(loss)}. Sum over the "
            "example's own axes; the mean over the batch is taken outside."
        )
    return jnp.asarray(loss), jax.tree.map(jnp.asarray, aux)


def widen(x: Array) -> Array:
    """Means are taken in float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def named_metrics(prefix: str, loss, aux) -> dict[str, Array]:
    """The scalars of a phase by name: the loss and the scalar leaves of its aux."""
    found = {prefix + "loss": loss}
    for path, leaf in jax.tree_util.tree_flatten_with_path(aux)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/") or "aux"
        if leaf.shape == ():
            found[prefix + name] = leaf
    return found


def run_phases(recipe: Recipe, source, params, optimisers, state, key, where):
    """All phases on the batch at `where = (step, epoch, orders)`."""
    step, epoch, orders = where
    batch = draw_batch(recipe, source, key, step, epoch, orders)
    optimisers, metrics, bad = list(optimisers), {}, jnp.int32(0)
    for index, prefix in enumerate(recipe.names):
        params, optimisers[index], state, update = run_phase(
            recipe, index, params, optimisers[index], state, batch
        )
        metrics |= named_metrics(prefix, update.loss, update.aux)
        bad = bad + update.bad
    return params, tuple(optimisers), state, metrics, bad


def metrics_at(recipe: Recipe, source, params, state, key, where):
    """The metrics of the batch at `where`, with nothing trained on it."""
    step, epoch, orders = where
    batch = draw_batch(recipe, source, key, step, epoch, orders)
    metrics = {}
    for index, (phase, prefix) in enumerate(zip(recipe.phases, recipe.names)):
        chosen, held = eqx.partition(params, recipe.masks[index])
        loss, (_, aux) = mean_loss_of(recipe, index, held, state, batch)(chosen)
        if phase.update is not None:
            state = phase.update(state, aux)
        metrics |= named_metrics(prefix, loss, aux)
    return metrics


def train_step(recipe: Recipe, source, now: TrainState, epoch, orders) -> TrainState:
    """The state after one more step; unchanged, but for `bad`, where a loss or a
    parameter was not finite, now or before."""

    def one(params, optimisers, state, key, orders):
        where = (now.step, epoch, orders)
        return run_phases(recipe, source, params, optimisers, state, key, where)

    run = one if recipe.seeds is None else eqx.filter_vmap(one)
    params, optimisers, state, metrics, bad = run(
        now.params, now.optimisers, now.state, now.key, orders
    )
    bad = now.bad + jnp.sum(bad, dtype=jnp.int32)
    polyak = now.polyak
    if recipe.polyak is not None:
        average = polyak_average(recipe.polyak)
        _, polyak = average.update(eqx.filter(params, eqx.is_inexact_array), polyak)
    sums = {name: now.sums[name] + metrics[name] for name in now.sums}
    then = TrainState(
        params, optimisers, state, polyak, now.best, now.key,
        now.step + 1, sums, now.count + 1, bad,
    )  # fmt: skip
    kept = keep_if(bad == 0, then, now)
    return eqx.tree_at(lambda s: s.bad, kept, bad)


def keep_if(good, new: TrainState, old: TrainState) -> TrainState:
    """Leaf by leaf the new state where `good`, else the old, in the old's types."""

    def pick(path, new, old):
        if not eqx.is_array(old):
            return old
        if new.shape != old.shape:
            raise ValueError(
                f"A step must keep the shapes of what it updates: "
                f"{jax.tree_util.keystr(path)} was {old.shape} and became {new.shape}."
            )
        key = jnp.issubdtype(old.dtype, jax.dtypes.prng_key)
        return jnp.where(good, new if key else new.astype(old.dtype), old)

    return jax.tree_util.tree_map_with_path(pick, new, old)
