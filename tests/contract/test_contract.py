"""Every density and sampler of the library keeps the contract, on both sides."""

import importlib
import pkgutil
import zlib

import jax
import jax.random as jr
import pytest

import taut
from taut.core.density import AbstractDensity, AbstractTarget
from taut.core.kernel import AbstractKernel
from taut.core.sampler import AbstractSampler
from taut.testing import check_density, check_sampler

from . import registry

registry.load()

# An error of this relative size would show at five standard errors.
VISIBLE = 0.05


def key_of(name):
    return jr.key(zlib.crc32(name.encode()))


def density_report(name, **kwargs):
    case = registry.DENSITIES[name]()
    return check_density(
        case.density,
        key=key_of(name),
        reference=case.reference,
        log_density=case.log_density,
        **kwargs,
    )


def sampler_report(name, **kwargs):
    case = registry.SAMPLERS[name]()
    return check_sampler(
        case.sampler,
        case.target,
        key=key_of(name),
        posterior=case.posterior,
        log_z=case.log_z,
        **kwargs,
    )


@pytest.mark.parametrize("name", registry.DENSITIES)
def test_density(name):
    report = density_report(name)
    print(report)
    assert report.smallest < VISIBLE, f"this problem cannot show an error:\n{report}"


@pytest.mark.parametrize("name", registry.SAMPLERS)
def test_sampler(name):
    report = sampler_report(name)
    print(report)
    assert report.smallest < VISIBLE, f"this problem cannot show an error:\n{report}"


@pytest.mark.parametrize(
    "name", [n for n in registry.DENSITIES if n.startswith("core")]
)
def test_density_in_float32(name, float32):
    density_report(name)


@pytest.mark.parametrize("name", [n for n in registry.SAMPLERS if n.startswith("core")])
def test_sampler_in_float32(name, float32):
    sampler_report(name)


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


def test_every_class_has_a_case():
    densities = [case() for case in registry.DENSITIES.values()]
    samplers = [case() for case in registry.SAMPLERS.values()]
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
        f"classes without a case in tests/contract/cases_*.py: {names(missing)}"
    )


def test_precision(float32):
    """The fixture does what the tests above need of it."""
    assert jax.numpy.zeros(()).dtype == jax.numpy.float32
