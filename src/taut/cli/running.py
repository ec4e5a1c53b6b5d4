"""From a preset's settings to a trained run, and back from its folder."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from ..evaluation import gather, lower_end
from ..papers.experiment import (
    AbstractExamined,
    AbstractExperiment,
    Preset,
    Splits,
    seeded_choice,
)
from ..rundir import Run
from ..train import FitResult, Validation, fit
from .exits import Misuse
from .options import existing_run, find_preset, settings_at

Settings = TypeVar("Settings")

# What a seed is used for. `split(key)[i]` is `fold_in(key, i)`: numbers 0 and 1 are
# the streams of training, so that no evaluation uses a key that trained its model.
EVALUATION, SETTLING, SAMPLES, CHOICE = 2, 3, 4, 5


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `config.json` holds: all that decides a run's numbers."""

    preset: Preset
    budget: str
    seed: int
    settings: AbstractExperiment

    def config(self) -> dict[str, Any]:
        return {
            "experiment": self.preset.name,
            "budget": self.budget,
            "seed": self.seed,
            "settings": dataclasses.asdict(self.settings),
        }


def plan_of(folder: Path) -> Plan:
    """The plan that a run's folder was made with."""
    config = Run.open(existing_run(folder)).config()
    if not {"experiment", "budget", "seed", "settings"} <= set(config):
        raise Misuse(f"the run in {folder} was not made by `taut train`.")
    preset = find_preset(config["experiment"])
    settings = settings_at(preset, config["budget"])
    return Plan(
        preset, config["budget"], config["seed"], refill(settings, config["settings"])
    )


def refill(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Settings with the values that JSON kept of them; the others as they are."""
    new = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        if field.name not in values:
            continue  # the run is older than this setting
        old, value = getattr(settings, field.name), values[field.name]
        if dataclasses.is_dataclass(old) and isinstance(value, Mapping):
            value = refill(old, value)
        elif isinstance(old, tuple):
            value = tuple(value)
        new[field.name] = value
    return dataclasses.replace(settings, **new)  # type: ignore[type-var]


def stream(seed: int, purpose: int) -> PRNGKeyArray:
    """The key of one use of a seed."""
    return jr.fold_in(jr.key(seed), purpose)


def train(
    plan: Plan, splits: Splits, run: Run, *, steps: int | None = None, **hooks: Any
) -> FitResult:
    """Train, or go on, and leave the record in the run's folder.

    With `steps=0` nothing is trained: the result is what the folder holds.
    """
    settings = plan.settings
    key, mkey = jr.split(jr.key(plan.seed))
    train_data = splits.train
    return fit(
        key,
        settings.make(mkey, splits),
        settings.phases(),
        train_data if callable(train_data) else jnp.asarray(train_data),
        state=settings.state(),
        steps=settings.steps if steps is None else steps,
        batch_size=settings.batch_size,
        prepare=splits.prepare,
        polyak=settings.polyak,
        validation=_validation(settings, splits),
        checkpoints=run.checkpoints,
        **hooks,
    )


def _validation(settings: AbstractExperiment, splits: Splits) -> Validation | None:
    if settings.validate_every is None:
        return None
    if splits.valid is None:
        raise ValueError(
            "`validate_every` needs validation data, and this experiment keeps none."
        )
    images = seeded_choice(splits.valid, settings.validation_images)
    examined = isinstance(settings, AbstractExamined)
    aimed = settings.validated if examined else settings.shared
    # One function, so that one compilation serves every validation.
    target = lambda parts, key: aimed(parts[0], parts[1], key)

    def score(key, model, state):
        blocks = lower_end(key, target, (model, state), images, 1, block=len(images))
        return np.mean(gather(list(blocks)).value)

    return Validation(score, settings.validate_every, settings.patience)


def trained(result: FitResult) -> tuple[PyTree, PyTree]:
    """The parameters and state to evaluate: the best by validation, where there was
    one, else the (averaged) last.
    """
    best = result.best
    if best is not None and jnp.isfinite(best.score):
        return best.params, best.state
    return result.averaged, result.state


def restored(plan: Plan, splits: Splits, run: Run) -> tuple[PyTree, PyTree, int]:
    """The parameters and state to evaluate that a run's folder holds, and its step."""
    if plan.settings.steps and not run.checkpoints.steps():
        raise Misuse(
            f"{run.folder} has no checkpoint: nothing has been trained in it. "
            f"`taut train {plan.preset.name} ... --out {run.folder} --resume` goes on."
        )
    result = train(plan, splits, run, steps=0)
    return *trained(result), result.step


def count_parameters(model: PyTree) -> int:
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    return sum(leaf.size for leaf in leaves)


def held_out(splits: Splits, num: int) -> np.ndarray:
    """Examples to tune an evaluation on: of the validation split, else of training."""
    if splits.valid is not None:
        return seeded_choice(splits.valid, num, seed=1)
    keys = jr.split(jr.key(1), num)
    if callable(splits.train):
        return np.asarray(jax.vmap(splits.train)(keys))
    chosen = seeded_choice(splits.train, num, seed=1)
    if splits.prepare is None:
        return chosen
    return np.asarray(jax.vmap(splits.prepare)(keys, jnp.asarray(chosen)))
