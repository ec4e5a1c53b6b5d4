"""Every density and sampler of the library keeps the contract, on both sides."""

import importlib
import pkgutil
import zlib

import jax.numpy as jnp
import jax.random as jr
import pytest

import taut
from taut.core.density import AbstractDensity, AbstractTarget
from taut.core.kernel import AbstractKernel
from taut.core.sampler import AbstractSampler

from . import registry

registry.load()

# An error of this relative size would show at five standard errors.
VISIBLE = 0.05


def report_of(name, make):
    report = registry.check(make(), key=jr.key(zlib.crc32(name.encode())))
    print(report)
    return report


@pytest.mark.parametrize("name", registry.by_tier(registry.DENSITIES))
def test_density(name):
    report = report_of(name, registry.DENSITIES[name])
    assert report.smallest < VISIBLE, f"this problem cannot show an error:\n{report}"


@pytest.mark.parametrize("name", registry.by_tier(registry.SAMPLERS))
def test_sampler(name):
    report = report_of(name, registry.SAMPLERS[name])
    assert report.smallest < VISIBLE, f"this problem cannot show an error:\n{report}"


# Once more in single precision: a part of them here, all of them in the thorough tier.
IN_FLOAT32 = ("normal", "induced", "marginal", "importance")
EVERYTHING = registry.DENSITIES | registry.SAMPLERS


@pytest.mark.parametrize("name", [f"core.{name}" for name in IN_FLOAT32])
def test_float32(name, float32):
    report_of(name, EVERYTHING[name])


@pytest.mark.thorough
@pytest.mark.parametrize("name", EVERYTHING)
def test_everything_in_float32(name, float32):
    report_of(name, EVERYTHING[name])


def finals(base):
    """The final classes of the library below `base`."""
    for module in pkgutil.walk_packages(taut.__path__, "taut."):
        if not module.name.startswith(("taut.cli", "taut.report")):
            importlib.import_module(module.name)
    found, todo = set(), [base]
    while todo:
        cls = todo.pop()
        todo.extend(cls.__subclasses__())
        if cls.__module__.startswith("taut.") and not cls.__name__.startswith(
            ("Abstract", "_")
        ):
            found.add(cls)
    return found


def names(classes):
    return sorted(f"{cls.__module__}.{cls.__name__}" for cls in classes)


def test_every_class_has_a_quick_case():
    densities = registry.quick(registry.DENSITIES)
    samplers = registry.quick(registry.SAMPLERS)
    # Densities and samplers are the subject of a case; targets and kernels are inside.
    subjects = {type(case.density) for case in densities}
    subjects |= {type(case.sampler) for case in samplers}
    inside = {
        type(part) for case in densities + samplers for part in registry.parts(case)
    }
    missing = finals(AbstractDensity) - subjects
    missing |= finals(AbstractSampler) - subjects
    # The one target that an upper end refuses: tests/core/test_frozen.py.
    subjects |= {taut.Frozen}
    missing |= (finals(AbstractTarget) | finals(AbstractKernel)) - inside - subjects
    assert not missing, (
        f"classes without a quick case in tests/contract/cases_*.py: {names(missing)}"
    )


def test_precision(float32):
    """The fixture does what the tests above need of it."""
    assert jnp.zeros(()).dtype == jnp.float32


@pytest.mark.thorough
@pytest.mark.parametrize("name", registry.DENSITIES)
def test_averages_of_everything(name):
    """Whatever keeps the contract may be averaged, and keeps it still."""
    case = registry.DENSITIES[name]()
    report_of(name, lambda: case._replace(density=taut.Averaged(case.density, 2)))
