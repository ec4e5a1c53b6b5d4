"""Every density and every sampler, each on a small problem whose truth is known.

Add a file `cases_<area>.py` with decorated functions that return a case. The cases are
made when they are run, so their modules cost nothing to import.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx

DENSITIES: dict[str, Callable[[], "DensityCase"]] = {}
SAMPLERS: dict[str, Callable[[], "SamplerCase"]] = {}


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


def _register(table, make):
    name = f"{make.__module__.rpartition('.cases_')[2]}.{make.__name__}"
    if name in table:
        raise ValueError(f"two cases are called {name}")
    table[name] = make
    return make


def load() -> None:
    """Import every `cases_*.py` beside this file."""
    for file in sorted(pathlib.Path(__file__).parent.glob("cases_*.py")):
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
