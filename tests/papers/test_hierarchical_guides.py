"""The guides beyond the paper: twenty steps of each on real images, in small."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut
from taut.papers import hierarchical
from taut.papers.hierarchical.joint import JIWAE, FlowJIWAE
from taut.papers.hierarchical.settings import Sizes
from taut.train import fit

FURTHER = {p.name: p for p in hierarchical.PRESETS if p.table == "further"}
SMALL = Sizes(latent=4, context=16, hidden=16)


def shrunk(name):
    """The preset with two draws, short chains and tiny networks."""
    settings = FURTHER[name].budgets["full"]
    smaller = {
        "num": 2,
        "moves": 1,
        "leapfrogs": 1,
        "inner": 2,
        "layers": 2,
        "width": 4,
    }
    known = {k: v for k, v in smaller.items() if k in vars(settings.guide)}
    guide = replace(settings.guide, **known)
    return replace(settings, guide=guide, sizes=SMALL, learning_rate=3e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("name", FURTHER)
def test_twenty_steps_on_caltech(name, float32):
    settings = shrunk(name)
    try:
        splits = settings.data()
    except FileNotFoundError as missing:
        pytest.skip(f"Caltech101 silhouettes are not here: {missing}")
    result = fit(
        jr.key(0),
        settings.make(jr.key(1), splits),
        settings.phases(),
        np.asarray(splits.train[:64], np.float32),
        steps=20,
        batch_size=8,
        report_every=10,
    )
    first, last = (row["bound"] for row in result.history)
    assert np.isfinite(last)
    assert last > first


@pytest.mark.parametrize("guide", [JIWAE(3), FlowJIWAE(3, layers=1, width=4)])
def test_draws_begin_apart_and_learn_to_depend(guide):
    """The correlations start at none, and their gradient is not zero."""
    law = taut.Normal(jnp.full(2, 0.5), jnp.full(2, -0.7))

    @eqx.filter_jit
    def found(key):
        marginals = guide.marginals(Sizes(2, 3, 4), key=key)(jnp.ones(3))

        def bound(factor):
            proposals = taut.Correlated(marginals, factor)
            sampler = taut.MultipleImportance(proposals, taut.PowerWeights(guide.power))
            return sampler.run(key, law).log_z, proposals.correlation

        return jax.grad(bound, has_aux=True)(jnp.eye(3))

    slope, correlation = found(jr.key(2))
    assert jnp.allclose(correlation, jnp.eye(3))
    assert jnp.all(jnp.abs(slope)[~jnp.eye(3, dtype=bool)] > 1e-6)
    assert jnp.allclose(jnp.diag(slope), 0, atol=1e-8)  # the rows keep length one


def test_every_guide_of_the_issue_is_there():
    guides = {type(p.budgets["full"].guide).__name__ for p in FURTHER.values()}
    assert guides >= {
        "SIVI",
        "IWHVI",
        "WithCompanions",
        "HVAE",
        "JIWAE",
        "FlowJIWAE",
        "LangevinGuide",
        "RefinedHIWAE",
    }
