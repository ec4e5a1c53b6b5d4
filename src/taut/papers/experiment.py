"""What an experiment is: settings that build data, a model, its losses, its density.

One frozen dataclass of settings per family of experiments, one `Preset` per row of a
published table. Strings stop at the command line.
"""

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..core.density import AbstractDensity, AbstractTarget
from ..train import Phase

# Arrays by name from blocks of them: section, number of examples, and what makes the
# blocks from an example on. Who gathers may keep them, and show how far it is.
Gather = Callable[
    [str, int, Callable[[int], Iterator[Mapping[str, Any]]]], dict[str, np.ndarray]
]


@dataclass(frozen=True)
class Splits:
    """Arrays on the host, and what happens to an example whenever it is read."""

    train: np.ndarray | Callable[[PRNGKeyArray], Array]  # or draws without end
    valid: np.ndarray | None
    test: np.ndarray
    digest: str  # of the files and the splits: it goes into every run
    prepare: Callable[[PRNGKeyArray, Array], Array] | None = None  # training only
    mean: Any = None  # of the training examples


@dataclass(frozen=True, kw_only=True)
class AbstractExperiment(abc.ABC):
    """Settings common to every experiment; each field is a flag of `taut train`."""

    steps: int
    """Training steps."""
    batch_size: int = 128
    """Examples per step."""
    polyak: float | None = None
    """Decay of the average of the parameters that is evaluated; none without it."""
    validate_every: int | None = None
    """Steps between validations; the best parameters are then the ones evaluated."""
    patience: int | None = None
    """Validations without a better score after which training stops."""
    validation_images: int = 1000
    """How many validation examples each validation reads (a seeded choice)."""
    test_images: int = 10_000
    """How many test examples the final evaluation reads (a seeded choice)."""
    samples: int = 1000
    """Importance samples per example in the final evaluation."""
    simulated: int = 100
    """Examples simulated from the model, on which both ends are computed."""
    simulated_samples: int = 100
    """Importance samples per simulated example, at either end."""

    @abc.abstractmethod
    def data(self) -> Splits:
        """Load, split, and say how examples are prepared."""

    @abc.abstractmethod
    def make(self, key: PRNGKeyArray, splits: Splits) -> PyTree:
        """The model before training, any pytree."""

    @abc.abstractmethod
    def state(self) -> PyTree:
        """What is carried through training and never gets gradients; often `None`."""

    @abc.abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """The losses of one step, in order."""

    @abc.abstractmethod
    def density(self, model: PyTree, state: PyTree) -> AbstractDensity:
        """The trained model as a density over examples: both ends follow from it."""

    @abc.abstractmethod
    def shared(self, model: PyTree, state: PyTree, key: PRNGKeyArray) -> AbstractTarget:
        """The same for a lower end only: what may be shared is drawn from `key`."""


@dataclass(frozen=True, kw_only=True)
class AbstractSettled(AbstractExperiment):
    """Experiments that estimate something anew, once, before they are evaluated."""

    @abc.abstractmethod
    def settle(
        self, key: PRNGKeyArray, model: PyTree, state: PyTree
    ) -> tuple[PyTree, dict[str, float]]:
        """The state to evaluate with, and what the record shall say about it."""


@dataclass(frozen=True, kw_only=True)
class AbstractAnnealed(AbstractExperiment):
    """Experiments whose published score is an estimate by annealing: they are evaluated
    by it, too.
    """

    temperatures: int = 1000
    """Steps from the guide to the posterior in that evaluation."""


@dataclass(frozen=True, kw_only=True)
class AbstractExamined(AbstractExperiment):
    """Experiments that are validated by another bound than they are evaluated by, and
    that report more than the evaluation does.
    """

    @abc.abstractmethod
    def validated(
        self, model: PyTree, state: PyTree, key: PRNGKeyArray
    ) -> AbstractTarget:
        """What validations score, in place of `shared`."""

    @abc.abstractmethod
    def report(
        self,
        key: PRNGKeyArray,
        model: PyTree,
        state: PyTree,
        images: np.ndarray,
        gathered: Gather,
    ) -> dict[str, Any]:
        """Further numbers of the evaluation, on the same test examples."""


@dataclass(frozen=True)
class Published:
    """A number as printed: a test score in nats, higher is better."""

    value: float
    spread: float | None = None
    what: str = "test bound, nats"


@dataclass(frozen=True)
class Preset:
    """One row of a table, at three budgets."""

    name: str
    paper: str
    table: str
    row: str
    dataset: str
    budgets: Mapping[str, AbstractExperiment]
    published: Published | None = None
    bound: bool = True  # False where the number is no bound (LARS)
    grid: Callable[[Any], Sequence[Any]] | None = None  # the settings chosen among
    also: tuple[str, ...] = ()  # other tables that the same run fills

    def to_json(self) -> dict[str, Any]:
        published = self.published and {
            "value": self.published.value,
            "spread": self.published.spread,
            "what": self.published.what,
        }
        return {
            "name": self.name,
            "paper": self.paper,
            "table": self.table,
            "also": list(self.also),
            "row": self.row,
            "dataset": self.dataset,
            "published": published,
            "bound": self.bound,
            "budgets": {k: v.steps for k, v in self.budgets.items()},
        }


def seeded_choice(examples: np.ndarray, num: int, seed: int = 0) -> np.ndarray:
    """`num` examples, drawn without replacement: never "the first n"."""
    if num >= len(examples):
        return examples
    order = jax.random.permutation(jax.random.key(seed), len(examples))
    return examples[np.asarray(order[:num])]
