"""One row of a table, at three budgets."""

from collections.abc import Mapping
from dataclasses import replace

from ..experiment import Preset, Published
from .laws import LARS
from .settings import AbstractEnergyExperiment

PAPER = "energy-inspired"
FULL = 10_000_000  # steps on images
TITLES = {
    "static_mnist": "static MNIST",
    "mnist": "dynamic MNIST",
    "fashion_mnist": "Fashion-MNIST",
}
NAMES = {
    "static_mnist": "static-mnist",
    "mnist": "dynamic-mnist",
    "fashion_mnist": "fashion-mnist",
    "celeba": "celeba",
}
Told = tuple[float, float] | float | None


def published(told: Told) -> Published | None:
    if told is None:
        return None
    value, spread = told if isinstance(told, tuple) else (told, None)
    return Published(value, spread)


def preset(
    name: str,
    table: str,
    row: str,
    data: str,
    full: AbstractEnergyExperiment,
    quick: Mapping,
    medium: Mapping,
    told: Told = None,
) -> Preset:
    budgets = {
        "quick": replace(full, **quick),
        "medium": replace(full, **medium),
        "full": full,
    }
    bound = not isinstance(full.law, LARS)
    return Preset(name, PAPER, table, row, data, budgets, published(told), bound)
