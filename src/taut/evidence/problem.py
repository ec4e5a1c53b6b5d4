"""What a sandwich needs to know about a model."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..core.density import AbstractTarget
from .target import LogJoint


@dataclass(frozen=True)
class Problem:
    """A log joint of parameters, with everything that is known about it."""

    log_joint: Callable[[PyTree], Array]
    example: PyTree
    constraints: Any = None
    name: str = ""
    exact: Callable[[PRNGKeyArray], PyTree] | None = None
    """Draws parameters exactly from the posterior: upper ends become certified."""
    data: PyTree = None
    """What the model was conditioned on; only its digest is used."""
    counting: bool = False
    """All data are counted (coins, counts, categories): the evidence is at most 1."""
    gradient_free: bool = False
    """JAX cannot differentiate the log joint."""
    simulate: Callable[[PRNGKeyArray, PyTree], PyTree] | None = None
    """Draws data at given parameters, for `calibration`."""
    log_likelihood: Callable[[PyTree, PyTree], Array] | None = None
    """Of parameters and such data."""
    log_z: float | None = None
    """The true value, where it is known."""
    how: str = ""
    """How the true value was obtained."""
    notes: tuple[str, ...] = field(default=())
    """What the reader of a verdict should know about this model."""

    def target(self) -> LogJoint:
        return LogJoint(self.log_joint, self.example, self.constraints)


def as_problem(model: Any, example: PyTree, **known: Any) -> Problem:
    """From a log joint, an exact target over an event, or a problem."""
    given = {name: value for name, value in known.items() if value is not None}
    if isinstance(model, Problem):
        if example is not None or given:
            names = sorted(given) + ["example"] * (example is not None)
            raise ValueError(f"The problem already says {names}; leave them out.")
        return model
    if example is None:
        raise ValueError(
            "Expected `example`, parameters shaped like those of the log joint, such "
            "as `example={'mu': 0.0, 'tau': 1.0}`."
        )
    if isinstance(model, AbstractTarget):
        if not model.exact:
            raise TypeError(
                f"This {type(model).__name__} only estimates its density. Bound it by "
                "`Marginal(...).log_prob` and `.sample_and_log_prob`, or "
                "`taut evaluate`."
            )
        target = model
        return Problem(lambda z: target.log_prob(jr.key(0), z), example, **given)
    if not callable(model):
        raise TypeError(f"Expected a log joint, a target or a problem; got {model!r}.")
    log_joint: Any = model
    return Problem(log_joint, example, **given)


def digest(data: PyTree) -> str | None:
    """SHA-256 of names, shapes, types and values; `None` of nothing."""
    leaves = jtu.tree_leaves_with_path(data)
    if not leaves:
        return None
    out = hashlib.sha256()
    for path, leaf in leaves:
        array = np.asarray(leaf)
        out.update(f"{jtu.keystr(path)} {array.shape} {array.dtype.kind}".encode())
        # One precision: data read as float32 and as float64 are the same data.
        kind = np.float32 if array.dtype.kind == "f" else array.dtype
        out.update(np.ascontiguousarray(array, kind).tobytes())
    return out.hexdigest()
