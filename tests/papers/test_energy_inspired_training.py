"""Both energy papers: training in the plane, and what is refused."""

import json
from dataclasses import replace
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from energy_rows import BY_NAME, splits_of

import taut
from taut.nn.networks import toy_energy
from taut.papers import images
from taut.papers.energy_inspired import planes, quadrature
from taut.papers.energy_inspired.binary import check_range
from taut.papers.energy_inspired.laws import (
    HIS,
    LARS,
    SNIS,
    TRS,
    AnnealedLangevin,
    Proposal,
    PublishedTRS,
    ShortRunLangevin,
)
from taut.papers.energy_inspired.networks import VAE
from taut.papers.energy_inspired.plane import Plane
from taut.train import NonFiniteError, fit
from taut.train.phase import Phase


def train(settings, steps, **options):
    return fit(
        jr.key(0),
        settings.make(jr.key(1), None),
        settings.phases(),
        settings.target.draw,
        state=settings.state(),
        steps=steps,
        batch_size=64,
        **options,
    )


@pytest.mark.parametrize(
    "law", [SNIS(64), LARS(num=64, draws=64)], ids=["snis", "lars"]
)
def test_training_in_the_plane(law, float32):
    settings = Plane(steps=300, law=law, learning_rate=1e-2)
    result = train(settings, 300, report_every=30)
    start, end = (result.history[i]["bound"] for i in (0, -1))
    assert end > start + 0.15
    assert end < settings.target.ceiling
    xs = jax.vmap(settings.target.draw)(jr.split(jr.key(2), 500))
    state, _ = replace(law).settle(jr.key(3), result.params, result.state)
    target = settings.shared(result.params, state, jr.key(4))
    score = lambda key, x: target.log_prob(key, x)
    values = jax.jit(jax.vmap(score))(jr.split(jr.key(5), 500), xs)
    law_of = result.params
    exact = np.mean(quadrature.log_density(law_of, 1.0, xs))
    assert abs(np.mean(values) - exact) < 0.05


def test_k_beyond_memory():
    settings = Plane(steps=1, law=SNIS(1_000_000))
    with pytest.raises(MemoryError, match="free"):
        train(settings, 1, memory_limit=10**6)


def test_nan_energy():
    settings = Plane(steps=1, law=SNIS(4))
    model = taut.SelfNormalized(
        taut.StandardNormal((2,)), eqx.nn.Lambda(lambda x: jnp.nan * jnp.sum(x)), 4
    )
    model = (model, jnp.zeros(()))  # something to train

    def loss(model, context, x):
        value = model[0].log_prob(context.key, x) + model[1]
        return -value, None

    phase = Phase(loss, settings.phases()[0].optimiser)
    with pytest.raises(NonFiniteError, match="loss"):
        fit(jr.key(0), model, phase, settings.target.draw, steps=2, batch_size=4)


def test_refused_settings(getkey):
    normal, energy = taut.StandardNormal((2,)), toy_energy
    coins = taut.Bernoulli(jnp.zeros(2))
    with pytest.raises(TypeError, match="continuous events"):
        HIS(2).build(coins, energy, key=getkey())
    for law in (SNIS(0), TRS(0), PublishedTRS(0), LARS(num=0), HIS(2, steps=0)):
        with pytest.raises(ValueError, match="at least 1; got 0"):
            law.build(normal, energy, key=getkey())
    for law in (AnnealedLangevin(0), ShortRunLangevin(0)):
        with pytest.raises(ValueError, match="at least 1"):
            law.build(normal, energy, key=getkey())
    many = SNIS(4).build(normal, lambda key: lambda x: x, key=getkey())
    with pytest.raises(ValueError, match="one real number"):
        many.log_prob(getkey(), jnp.zeros(2))
    with pytest.raises(ValueError, match="size = 50 elements; got events"):
        HIS().build(normal, energy, key=getkey())
    with pytest.raises(ValueError, match="evaluation_draws must be an integer of at"):
        LARS(evaluation_draws=0).build(normal, energy, key=getkey())
    for law in (TRS(4), PublishedTRS(4)):
        many = law.build(normal, lambda key: lambda x: x, key=getkey())
        with pytest.raises(ValueError, match="one real number"):
            law.shared(many, None, getkey()).log_prob(getkey(), jnp.zeros(2))
    for variance, learned in ((-1.0, False), (0.0, True)):
        plane = Plane(steps=1, law=SNIS(4), variance=variance, learned=learned)
        with pytest.raises(ValueError, match="variance must be positive"):
            plane.make(getkey(), None)
    with pytest.raises(ValueError, match="dataset is one of"):
        Plane(steps=1, law=Proposal(), dataset="moons").data()


def test_refused_pixel_laws(getkey):
    """Over binary images a law has to weigh or accept what a VAE proposes."""
    settings = BY_NAME["static-mnist-snis-on-vae"].budgets["quick"]
    splits = splits_of(settings)
    for law in (Proposal(), AnnealedLangevin(), ShortRunLangevin()):
        with pytest.raises(ValueError, match="SNIS, TRS or LARS; got"):
            replace(settings, law=law).make(getkey(), splits)
    with pytest.raises(TypeError, match="continuous events"):
        replace(settings, law=HIS(28 * 28)).make(getkey(), splits)
    with pytest.raises(ValueError, match="height, width, channels"):
        replace(settings, convolutional=True).make(getkey(), splits)
    with pytest.raises(ValueError, match="positive sizes"):
        replace(settings, network=VAE(latent=0)).make(getkey(), splits)


@pytest.mark.parametrize("bad", [-0.1, 1.5, np.nan])
def test_values_outside(bad):
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\]"):
        check_range("mine", np.array([[0.5, bad]]), 0.0, 1.0)
    with pytest.raises(ValueError, match=r"\[0, 256\)"):
        check_range("mine", np.array([256.0]), 0.0, 256.0, open=True)


def test_binary_images_are_not_dequantised(monkeypatch):
    """Noise on 0 and 1 would be no image of 256 levels."""
    coins = SimpleNamespace(card=SimpleNamespace(levels=2))
    monkeypatch.setattr(images, "_splits", lambda *_: {"train": coins})
    with pytest.raises(ValueError, match="expected images of 256 grey levels"):
        images.continuous("static_mnist", "energy-inspired")


@pytest.mark.thorough
def test_figures_of_the_plane(tmp_path, monkeypatch, float32):
    """One run, its three pictures; what is in the file is not run again."""
    monkeypatch.setattr(planes, "PANELS", {"nine-gaussians": ("trs",)})
    planes.draw(tmp_path, "quick", steps=20)
    found = json.loads((tmp_path / "energy-inspired-figure1.json").read_text())
    row = found["nine-gaussians-trs"]
    assert row["steps"] == row["curve"][-1][0] == 20
    both, exact = row["bounds"]["simulated"], row["exact"]
    assert abs(row["bounds"]["test"]["mean"] - exact) < 0.05
    assert both["gap"]["mean"] > -4 * both["gap"]["se_examples"]
    pictures = {path.stem.split("-")[2] for path in tmp_path.glob("*.svg")}
    assert pictures == {"figure1", "figure2", "energies"}
    monkeypatch.setattr(planes, "run", None)
    planes.draw(tmp_path, "quick", steps=20)
