"""What stops a run before its end."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .state import TrainState
from .step import Recipe, draw_batch, run_phase


class NonFiniteError(FloatingPointError):
    """A loss or a parameter became NaN or infinite. `step` is the update that failed,
    `phase` and `path` say where; `result` has the last good parameters."""

    def __init__(self, message, step, phase, path, result):
        self.step, self.phase, self.path, self.result = step, phase, path, result
        Exception.__init__(self, message)


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop (Ctrl-C, SIGTERM); `result` is what there is, and
    it has been saved where there are checkpoints."""

    def __init__(self, message, result):
        self.result = result
        KeyboardInterrupt.__init__(self, message)


class PeerLostError(RuntimeError):
    """Another process of the job died or cannot be reached any more."""


# What XLA's own errors about other processes speak of.
PEERS = ("Gloo", "NCCL", "Connection", "UNAVAILABLE", "DEADLINE", "oordination")


def lost_peer(error: Exception, where: str) -> PeerLostError | None:
    """A communication error between processes, said clearly; `None` for others."""
    if jax.process_count() == 1 or not any(word in str(error) for word in PEERS):
        return None
    return PeerLostError(
        f"Process {jax.process_index()} of {jax.process_count()} lost contact with "
        f"another process of the job, which probably died ({error}). The job ends; "
        f"{where}. Start all processes again in the same way to resume."
    )


def bad_paths(tree) -> list[tuple[str, jax.Array]]:
    """Path and count of non-finite numbers of each array of `tree`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    name = lambda path: jax.tree_util.keystr(path) or "params"
    return [(name(path), jnp.sum(~jnp.isfinite(leaf))) for path, leaf in leaves]


def diagnose(recipe: Recipe, source, state: TrainState, epoch, orders):
    """Run the refused step again and tell where it went wrong.

    Returns the seed (or None), the phase's name, the first bad parameter's path (or
    None) and a sentence.
    """
    for seed in range(recipe.seeds or 1):
        pick = lambda tree: tree
        if recipe.seeds is not None:
            pick = lambda tree, seed=seed: jax.tree.map(
                lambda a: a[seed] if eqx.is_array(a) else a, tree
            )
        one = (state.params, state.optimisers, state.state, state.key)
        where = (state.step, epoch, pick(orders))
        params, optimisers, carried, key = pick(one)
        found = _diagnose_one(recipe, source, params, optimisers, carried, key, where)
        if found is not None:
            return (seed if recipe.seeds is not None else None, *found)
    return None, "", None, "The step could not be repeated."


def _diagnose_one(recipe, source, params, optimisers, state, key, where):
    # A batch of keys, gradients and parameters at hand, so outside the loop.
    batch = eqx.filter_jit(lambda: draw_batch(recipe, source, key, *where))()
    size = source.batch_size
    for index, phase in enumerate(recipe.phases):
        run = eqx.filter_jit(
            lambda p, o, s, index=index: run_phase(recipe, index, p, o, s, batch)
        )
        params, _, state, update = run(params, optimisers[index], state)
        name = recipe.names[index].rstrip("/") or getattr(phase.loss, "__name__", "")
        if int(update.bad) == 0:
            continue
        gradients = [(path, n) for path, n in bad_paths(update.gradients) if int(n)]
        chosen = eqx.filter(params, recipe.masks[index])
        parameters = [(path, n) for path, n in bad_paths(chosen) if int(n)]
        first = (gradients or parameters or [(None, 0)])[0][0]
        kind = "gradient" if gradients else "updated value"
        loss = float(update.loss)
        head = (
            f"the loss of phase {name!r} is {loss} over a batch of {size} examples"
            if not jnp.isfinite(loss)
            else f"the update of phase {name!r} is not finite (its loss is {loss:.6g})"
        )
        tail = (
            f"the first parameter group with a non-finite {kind} is {first}"
            if first
            else "every gradient is finite"
        )
        return name, first, f"{head}; {tail}"
    return None
