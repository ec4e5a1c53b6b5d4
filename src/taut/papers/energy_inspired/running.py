"""Train an experiment and bound it, for the figures."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ...core.density import AbstractDensity
from ...evaluation import both_ends, gather, lower_end, summary
from ...train import fit
from ..experiment import Splits, seeded_choice
from .settings import AbstractEnergyExperiment

SETTLING, BOUNDS = 2, 3  # streams of a seed; 0 and 1 are those of training


@dataclass(frozen=True)
class Outcome:
    """A trained model, ready to be evaluated."""

    settings: AbstractEnergyExperiment
    splits: Splits
    history: list[dict[str, Any]]
    model: Any
    state: Any
    settled: dict[str, float]


def train(settings: AbstractEnergyExperiment, seed: int, points: int = 50) -> Outcome:
    """As `taut train` does, in memory; `points` on the curve."""
    splits = settings.data()
    key, mkey = jr.split(jr.key(seed))
    data = splits.train
    result = fit(
        key,
        settings.make(mkey, splits),
        settings.phases(),
        data if callable(data) else jnp.asarray(data),
        state=settings.state(),
        steps=settings.steps,
        batch_size=settings.batch_size,
        prepare=splits.prepare,
        report_every=max(1, settings.steps // points),
    )
    state, settled = settings.settle(
        jr.fold_in(jr.key(seed), SETTLING), result.params, result.state
    )
    return Outcome(settings, splits, result.history, result.params, state, settled)


def test_points(outcome: Outcome) -> np.ndarray:
    """The seeded choice that is scored."""
    return seeded_choice(outcome.splits.test, outcome.settings.test_images)


def bounds(outcome: Outcome, seed: int, block: int = 100) -> dict[str, Any]:
    """The lower end on the test set; both ends on draws of the model itself."""
    settings = outcome.settings
    tkey, skey = jr.split(jr.fold_in(jr.key(seed), BOUNDS))
    at = lambda parts, key: settings.shared(parts[0], parts[1], key)
    parts = outcome.model, outcome.state
    xs, num = test_points(outcome), settings.samples
    end = gather(list(lower_end(tkey, at, parts, xs, num, block=block)))
    told = {"test": summary(end.value, end.error), "samples": num} | outcome.settled
    density = settings.density(*parts)
    if isinstance(density, AbstractDensity) and settings.simulated:
        count, draws = settings.simulated, settings.simulated_samples
        both = both_ends(skey, density, count, draws, block=min(count, 100))
        _, lower, upper = gather(list(both))
        told["simulated"] = {
            "samples": draws,
            "lower": summary(lower),
            "upper": summary(upper),
            "gap": summary(upper - lower),
        }
    return told
