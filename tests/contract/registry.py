"""Every density and every sampler, each on a small problem whose truth is known.

Add a file `cases_<area>.py` with decorated functions that return a case; and a file
`sabotage_<area>.py` with broken variants, which the contract must catch. The cases are
made when they are run, so their modules cost nothing to import.

The quick tier runs a case of every class, and of every nesting that the library
promises; other variants of a class are `@thorough`, below `@density_case`.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import pytest

from taut.testing import Report, check_density, check_sampler

DENSITIES: dict[str, Callable[[], "DensityCase"]] = {}
SAMPLERS: dict[str, Callable[[], "SamplerCase"]] = {}
THOROUGH: set[Callable] = set()
BROKEN: dict[str, tuple[str, Callable[[], "DensityCase | SamplerCase"]]] = {}


class DensityCase(NamedTuple):
    density: Any
    reference: Any  # an exact density over the same events, wider
    log_density: Callable | None = None  # the true one, where it is known


class SamplerCase(NamedTuple):
    sampler: Any
    target: Any
    posterior: Any  # an exact density, or a function `key -> (z, log_target)`
    log_z: Any


def density_case(make: Callable[[], DensityCase]) -> Callable[[], DensityCase]:
    """Register a density."""
    return _register(DENSITIES, make)


def sampler_case(make: Callable[[], SamplerCase]) -> Callable[[], SamplerCase]:
    """Register a sampler."""
    return _register(SAMPLERS, make)


def thorough(make: Callable) -> Callable:
    """Leave a variant of a class that has a quick case to the thorough tier."""
    THOROUGH.add(make)
    return make


def by_tier(cases: dict[str, Callable]) -> list:
    """The names of cases as test parameters, marked by their tier."""
    marks = lambda make: pytest.mark.thorough if make in THOROUGH else ()
    return [pytest.param(name, marks=marks(make)) for name, make in cases.items()]


def quick(cases: dict[str, Callable]) -> list:
    """The cases of the quick tier, with shapes in place of their numbers."""
    return [
        eqx.filter_eval_shape(make) for make in cases.values() if make not in THOROUGH
    ]


def broken_case(law: str) -> Callable:
    """Register a sabotaged density or sampler, with the law that it must break."""

    def register(make):
        _register(BROKEN, make, (law, make))
        return make

    return register


def check(case: DensityCase | SamplerCase, **kwargs) -> Report:
    """Hold one case to the contract."""
    if isinstance(case, DensityCase):
        density, reference, log_density = case
        return check_density(
            density, reference=reference, log_density=log_density, **kwargs
        )
    sampler, target, posterior, log_z = case
    return check_sampler(sampler, target, posterior=posterior, log_z=log_z, **kwargs)


def _register(table, make, entry=None):
    name = f"{make.__module__.rpartition('.')[2].partition('_')[2]}.{make.__name__}"
    if name in table:
        raise ValueError(f"two cases are called {name}")
    table[name] = entry or make
    return make


def load(prefix: str = "cases") -> None:
    """Import every `<prefix>_*.py` beside this file."""
    for file in sorted(pathlib.Path(__file__).parent.glob(f"{prefix}_*.py")):
        importlib.import_module(f"{__package__}.{file.stem}")


def parts(tree: Any) -> Iterator[Any]:
    """An object and every object inside it."""
    yield tree
    if isinstance(tree, eqx.Module):
        tree = [getattr(tree, f.name, None) for f in dataclasses.fields(tree)]
    elif isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list | tuple):
        for part in tree:
            yield from parts(part)
