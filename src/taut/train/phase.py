"""What one step minimises: phases of (loss, optimiser, leaves)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

# The `vmap` over a batch has this name, for losses that look at all of it (the moments
# of batch normalisation, a norm that is clipped): `jax.lax.pmean(a, EXAMPLES)`.
EXAMPLES = "examples"


class Context(eqx.Module):
    """All that a per-example loss may depend on besides parameters and example.

    `key` is this example's own; `shared` is the same for every example of the
    phase (draws made with it are made once under `vmap`); `step` counts updates
    from 0, for annealed weights; `state` never gets gradients.
    """

    key: PRNGKeyArray
    shared: PRNGKeyArray
    step: Int[Array, ""]
    state: PyTree


Loss = Callable[[Any, Context, Any], tuple[Array, PyTree]]


@dataclass(frozen=True)
class Phase:
    """One update: `loss(params, context, x) -> (scalar, aux)` is minimised in the
    mean over the batch by `optimiser`, over `leaves` only; the others are held.

    `leaves` is an Equinox filter spec (a tree of bools or a predicate on leaves), or
    a function from the parameters to such a tree (see `only`). Afterwards `state`
    becomes `update(state, mean_aux)`, with the batch mean of `aux`.
    """

    loss: Loss
    optimiser: optax.GradientTransformation
    leaves: Any = eqx.is_inexact_array
    update: Callable[[PyTree, PyTree], PyTree] | None = None
    name: str | None = None


def only(where: Callable[[Any], Any]) -> Callable[[Any], PyTree]:
    """Leaves for a `Phase`: those of the part(s) `where(params)`, as in
    `eqx.tree_at`, for example `only(lambda model: model.encoder)`."""

    def leaves(params):
        mask = jax.tree.map(lambda _: False, params)
        chosen = lambda part: jax.tree.map(lambda _: True, part)
        return eqx.tree_at(where, mask, replace_fn=chosen)

    return leaves


def trainable(phase: Phase, params: PyTree) -> PyTree[bool]:
    """The phase's `leaves` as a tree of bools over `params`, inexact arrays only."""
    spec = phase.leaves
    if callable(spec):
        try:
            answer = spec(params)
        except Exception as error:
            raise TypeError(
                f"leaves={spec} could not be called on the parameters "
                f"({type(error).__name__}: {error}). Expected a predicate on leaves "
                "that also answers a bool for any other object, a function from the "
                "parameters to a filter tree, or `only(lambda params: params.part)`."
            ) from error
        spec = spec if isinstance(answer, bool) else answer
    chosen = eqx.filter(params, spec)
    mask = jax.tree.map(eqx.is_inexact_array, chosen, is_leaf=lambda leaf: leaf is None)
    if not any(jax.tree.leaves(mask)):
        raise ValueError(
            f"leaves={phase.leaves} selects no floating-point array of the parameters, "
            "so the phase has nothing to train."
        )
    return mask


def phase_names(phases: tuple[Phase, ...]) -> tuple[str, ...]:
    """Prefixes of the phases' metrics: empty for a single unnamed phase."""
    if len(phases) == 1 and phases[0].name is None:
        return ("",)
    given = [p.name or f"phase{i}" for i, p in enumerate(phases)]
    return tuple(
        f"{name}{i}/" if given.count(name) > 1 else f"{name}/"
        for i, name in enumerate(given)
    )


def as_phases(phases) -> tuple[Phase, ...]:
    """One phase or a sequence of them, checked."""
    found = phases if isinstance(phases, list | tuple) else (phases,)
    if not found or not all(isinstance(phase, Phase) for phase in found):
        raise TypeError(
            "Expected a Phase(loss, optimiser) or a non-empty list of them, got "
            f"{phases!r}."
        )
    return tuple(found)


def cast(tree: PyTree, dtype: jnp.dtype | None) -> PyTree:
    """Floating-point arrays of `tree` in `dtype`, the rest as it is."""
    if dtype is None:
        return tree
    real = lambda x: eqx.is_array(x) and jnp.issubdtype(x.dtype, jnp.floating)
    return jax.tree.map(lambda x: x.astype(dtype) if real(x) else x, tree)
