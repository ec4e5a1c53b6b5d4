"""`fit`: minimise per-example losses over any pytree, in compiled, resumable steps.

    fit(key, params, Phase(loss, optax.adam(1e-3)), data, steps=1000, batch_size=128)

`loss(params, context, x) -> (scalar, aux)` sees one example; `context` has its `key`,
the `shared` key, the `step` and the gradient-free `state`. A step is a sequence of
phases, each from the parameters that the one before it left. All randomness is a pure
function of (key, step), so a resumed run goes on exactly as it would have.

Metrics are the means, over the batch and over the steps since the last report, of the
loss and of the scalar leaves of aux. Clipping (`optax.clip_by_global_norm`, or per
group with `optax.partition`), separate learning rates, schedules: compose them in the
phase's optimiser. Weights annealed over training are functions of `context.step`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, PyTree

from .driver import Driver, FitResult
from .loop import AbstractLoop, CompiledLoop
from .phase import as_phases, cast, phase_names, trainable
from .sharding import check_batch, replicate
from .source import as_source
from .start import begin, derive_keys, storage_dtype
from .state import Store, owned
from .step import Recipe
from .validation import Validation

Report = Callable[[int, dict[str, Any], float], None]
Validated = Callable[[int, Any], None]


def fit(
    key: PRNGKeyArray,
    params: Any,
    phases: Any,
    data: Any,
    *,
    steps: int,
    batch_size: int,
    state: PyTree = None,
    prepare: Callable[[PRNGKeyArray, Any], Any] | None = None,
    seeds: int | None = None,
    loop: AbstractLoop | None = None,
    polyak: float | None = None,
    validation: Validation | None = None,
    compute_dtype: Any = None,
    report_every: int = 100,
    on_report: Report | None = None,
    on_start: Callable[[int], None] | None = None,
    on_validation: Validated | None = None,
    checkpoints: Store | None = None,
    save_every: int = 1000,
    mesh: Mesh | None = None,
    memory_limit: int | None = None,
) -> FitResult:
    """Train `params` for `steps` updates on batches of `data`.

    **Arguments:**

    - `phases`: a `Phase` or a sequence of them; together they are one step.
    - `data`: a pytree of arrays, examples along the first axis, or `draw(key)`.
    - `state`: the initial gradient-free state, changed only by the phases' `update`.
    - `prepare(key, x)`: applied afresh to every example each time it is used.
    - `seeds`: train this many runs at once under `vmap`; then `params` is a function
      `make(key)`, and everything in the result has a leading axis.
    - `loop`: `CompiledLoop()` or `HostLoop()`; neither changes what is computed.
    - `polyak`: decay of the average of the parameters.
    - `compute_dtype`: float32 or float64 for everything; with bfloat16 the parameters
      and the optimiser stay in float32 and only the loss is computed in bfloat16.
    - `on_report(step, metrics, rate)`: every `report_every` steps; rate in steps/s.
    - `on_start(step)`: once before training, with the step resumed from, or 0.
    - `on_validation(step, score)`: after each validation, before it is saved.
    - `checkpoints`: training goes on from the newest good one, and saves every
      `save_every` steps, at each best validation and at the end.
    - `mesh`: devices to spread the batch over, along its axis named `data`.
    """
    _check(key, steps, report_every, save_every, validation)
    loop = CompiledLoop() if loop is None else loop
    source = as_source(data, batch_size)
    check_batch(mesh, batch_size)
    phases = as_phases(phases)
    keys, params, single = derive_keys(key, params, seeds)
    dtype = storage_dtype(compute_dtype)
    params, single, state = owned(cast((params, single, state), dtype))
    recipe = Recipe(
        phases,
        phase_names(phases),
        tuple(trainable(phase, single) for phase in phases),
        prepare,
        polyak,
        None if compute_dtype is None else jnp.dtype(compute_dtype),
        seeds,
        mesh,
    )
    now = begin(recipe, source, keys, params, state, validation is not None)
    restored = None if checkpoints is None else checkpoints.restore(now)
    if restored is not None:
        if not np.array_equal(jr.key_data(restored.key), jr.key_data(keys)):
            raise ValueError(
                "The checkpoint was made with another key (seed) than this run's. Use "
                "the same key, or another folder."
            )
        now = owned(restored)
    now, source = replicate((now, source), mesh)
    if on_start is not None:
        on_start(int(now.step))
    every = {
        "report": report_every,
        "save": save_every if checkpoints is not None else None,
        "validate": validation.every if validation is not None else None,
    }
    run = Driver(recipe, source, loop, checkpoints, validation, every, memory_limit)
    return run(now, steps, on_report, on_validation)


def _check(key, steps, report_every, save_every, validation) -> None:
    if not (eqx.is_array(key) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise TypeError(
            f"fit expects a typed key, such as jax.random.key(0), got {key!r}."
        )
    every = 1 if validation is None else validation.every
    if min(steps, report_every - 1, save_every - 1, every - 1) < 0:
        raise ValueError(
            "steps must be 0 or more, and report_every, save_every and "
            f"validation.every 1 or more; got {steps}, {report_every}, {save_every} "
            f"and {every}."
        )
