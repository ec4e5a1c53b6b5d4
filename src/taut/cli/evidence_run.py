"""One test example of a trained run, as an evidence problem over its latents."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .exits import Misuse

if TYPE_CHECKING:
    from ..evidence import Problem


def problem_of_run(folder: Path, index: int) -> "Problem":
    """`log p(x)` of test example `index`; the model simulates data to calibrate it."""
    import equinox as eqx
    import jax.numpy as jnp
    import jax.random as jr
    import jax.tree_util as jtu

    from ..core.combine import Conditioned, Joint, Marginal
    from ..evidence.problem import as_problem
    from ..rundir import Run
    from .running import plan_of, restored

    plan, record = plan_of(folder), Run.open(folder)
    splits = plan.settings.data()
    if not 0 <= index < len(splits.test):
        raise Misuse(
            f"{folder} has {len(splits.test)} test examples; there is none {index}."
        )
    model, state, _ = restored(plan, splits, record)
    density: Any = plan.settings.density(model, state)
    if not (isinstance(density, Marginal) and density.joint.exact):
        raise Misuse(
            f"{folder} is not a latent-variable model with one exact joint; "
            "`taut evaluate` bounds it."
        )
    joint, x = density.joint, jnp.asarray(splits.test[index])
    if not isinstance(joint, Joint):
        raise Misuse(f"the model of {folder} is no prior and likelihood in one.")
    like = eqx.filter_eval_shape(joint.prior.sample, jr.key(0))
    example = jtu.tree_map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    found = as_problem(Conditioned(joint, x), example, data=x)
    likelihood = joint.likelihood
    return replace(
        found,
        name=f"{folder.name}, test example {index}",
        simulate=lambda key, z: likelihood(z).sample(key),
        log_likelihood=lambda z, x: likelihood(z).log_prob(jr.key(0), x),
    )
