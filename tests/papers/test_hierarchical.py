"""H-IWAE: every preset builds and takes a step; the toy is trained for real."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from taut.papers import hierarchical
from taut.papers.experiment import AbstractExperiment
from taut.papers.hierarchical import theory, toy_figures, toy_runs
from taut.papers.hierarchical.images import HierarchicalVAE, make_model, sides
from taut.papers.hierarchical.published import TABLES
from taut.papers.hierarchical.rows import grid, paper
from taut.papers.hierarchical.settings import HIWAE, IWAE, Sizes
from taut.papers.hierarchical.toy import LOG_Z, Rooted, Toy, log_ring
from taut.train import Context

PRESETS = {p.name: p for p in hierarchical.PRESETS}


def one_step(settings: AbstractExperiment, example):
    """Shapes of every phase's gradients, without computing anything."""

    def step(key):
        model, found = settings.make(key, None), []
        for phase in settings.phases():
            context = Context(key, key, jnp.array(3), settings.state())
            loss = lambda m, c=context, p=phase: p.loss(m, c, example)
            (value, aux), grads = eqx.filter_value_and_grad(loss, has_aux=True)(model)
            optimiser = phase.optimiser.init(eqx.filter(model, eqx.is_inexact_array))
            updates, _ = phase.optimiser.update(grads, optimiser)
            found.append((value, aux, eqx.apply_updates(model, updates)))
        return eqx.filter(found, eqx.is_array), eqx.filter(model, eqx.is_array)

    return eqx.filter_eval_shape(step, jr.key(0))


# One row of every kind; the others differ in numbers only.
KINDS = [
    "caltech101-iwae-k2",
    "caltech101-h-iwae-a0-k2",
    "caltech101-h-iwae-a1-twice-k2",
    "caltech101-h-iwae-a1-published-k5",
    "caltech101-sivi-k5",
    "caltech101-iwhvi-k5",
    "caltech101-companions-k5",
    "caltech101-hvae-k5",
    "caltech101-j-iwae-k5",
    "caltech101-j-iwae-flow-k5",
    "caltech101-langevin-k5",
    "caltech101-h-iwae-refined-k5",
]


@pytest.mark.parametrize("name", KINDS)
def test_one_step_of_every_kind(name, float32):
    settings = PRESETS[name].budgets["full"]
    image = jnp.zeros((28, 28, 1))
    found, model = one_step(settings, image)
    assert len(found) == settings.encoder_updates
    for value, aux, updated in found:
        assert value.shape == ()
        assert aux["bound"].shape == ()
        assert jax.tree.map(jnp.shape, updated) == jax.tree.map(jnp.shape, model)


def test_one_step_of_every_preset_of_the_toy():
    for name, preset in PRESETS.items():
        if name.startswith("ring-"):
            ((value, aux, _),), _ = one_step(preset.budgets["full"], jnp.zeros(1))
            assert value.shape == aux["bound"].shape == (), name


def test_every_line_of_the_tables_is_a_preset():
    published = [p.published for p in PRESETS.values() if p.published]
    told = {(p.value, p.spread) for p in published}
    for name, lines in TABLES.items():
        for line in lines:
            assert (-line.nll_test.mean, line.nll_test.spread) in told, (name, line)
    assert len(published) == sum(map(len, TABLES.values())) == 46


def test_published_sizes():
    """Parameters as counted from the published code, at K = 5 and 32/450/1920."""

    def count(guide):
        make = lambda key: make_model(key, guide, Sizes())
        model = eqx.filter_eval_shape(make, jr.key(0))
        arrays = [a for a in jax.tree.leaves(model) if hasattr(a, "shape")]
        return sum(a.size for a in arrays)

    assert count(IWAE(5)) == 1_844_655
    assert count(HIWAE(5, 1.0)) == 6_897_591
    assert count(HIWAE(5, 0.0)) == 7_711_191


def test_two_optimisers():
    model = eqx.filter_eval_shape(make_model, jr.key(0), HIWAE(2, 1.0), Sizes())
    labels = sides(model)
    assert set(jax.tree.leaves(labels.likelihood)) == {"model"}
    assert set(jax.tree.leaves(labels.guide.encoder)) == {"proposals"}
    assert set(jax.tree.leaves(labels.guide.hierarchy.root)) == {"proposals"}
    assert set(jax.tree.leaves(labels.guide.hierarchy.branches)) == {"proposals"}
    assert set(jax.tree.leaves(labels.guide.hierarchy.reverse)) == {"model"}


def test_the_grid_has_forty_points():
    points = grid(paper("caltech101_silhouettes", HIWAE(5, 1.0)))
    assert len(points) == len(set(points)) == 40
    assert all(isinstance(p, HierarchicalVAE) for p in points)


# -- the toy --------------------------------------------------------------------------


def test_log_normaliser_of_the_ring():
    axis = jnp.linspace(-12, 12, 1201)
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_z = jax.nn.logsumexp(jax.vmap(log_ring)(grid)) + 2 * jnp.log(axis[1] - axis[0])
    assert abs(log_z - LOG_Z) < 1e-5


@pytest.fixture(scope="module")
def run_on_the_ring():
    with jax.enable_x64(False):  # noqa: FBT003
        return toy_runs.trained(Rooted(3, 1.0), 2, steps=5)


def unbiased(run, num):
    """`E w = 1` and `E log w < 0`, for every seed."""
    w = np.asarray(toy_runs.weights(run.models, jr.key(1), num, shared=True))
    assert w.shape == (2, num, 3)
    total = w.mean(axis=2)
    assert (np.abs(total.mean(1) - 1) < 4.5 * total.std(1) / num**0.5).all()
    assert (np.log(total).mean(axis=1) < 0).all()


def test_training_on_the_ring(run_on_the_ring, float32):
    found = toy_runs.along(run_on_the_ring)
    assert found["bound"].shape == (1, 2)
    assert (found["bound"] < LOG_Z).all()
    w = toy_runs.weights(run_on_the_ring.models, jr.key(1), 2000, shared=True)
    assert w.shape == (2, 2000, 3)
    assert (jnp.log(w.mean(axis=2)).mean(axis=1) < 0).all()


@pytest.mark.thorough
def test_longer_training_on_the_ring(float32):
    """A bound that rises, and never passes the truth by more than its error."""
    run = toy_runs.trained(Rooted(3, 1.0), 2, steps=300)
    found = toy_runs.along(run)["bound"]
    assert found.shape == (3, 2)
    assert (found[-1] > found[0] + 0.05).all()
    unbiased(run, 4000)


def test_a_figure_leaves_picture_and_numbers(
    run_on_the_ring, tmp_path, monkeypatch, float32
):
    monkeypatch.setattr(toy_figures, "trained", lambda *_, **__: run_on_the_ring)
    toy_figures.correlation(tmp_path, "quick", num=2000)
    record = json.loads((tmp_path / "hierarchical-correlation.json").read_text())
    assert record["command"] == "taut reproduce hierarchical correlation --budget quick"
    matrix = np.array(record["a common root"]["matrix"])
    assert np.allclose(np.diag(matrix), 1)
    assert record["difference by seed"]["mean_w"]["mean"] == 0
    assert (tmp_path / "hierarchical-correlation.svg").read_text().startswith("<svg")


def test_variance_vanishes_and_the_bound_stays_loose():
    rows = theory.loose_sequence()
    spreads = [row["variance_log_w"] for row in rows]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 2e-3
    assert abs(rows[-1]["mean_log_w"] - np.log(0.5)) < 1e-3
    for n, level in ((10, 2.0), (1000, 100.0), (100_000, 2.0)):
        # The mean of w beyond any level does not vanish: not uniformly integrable.
        assert theory.tail(n, level) > 0.5
    for row in rows:
        high, p = 0.5 * (1 + row["n"]), 1 / row["n"]
        w, probs = np.array([0.5, high]), np.array([1 - p, p])
        mean = probs @ np.log(w)
        assert np.isclose(probs @ w, 1.0)
        assert np.isclose(row["mean_log_w"], mean)
        assert np.isclose(row["variance_log_w"], probs @ (np.log(w) - mean) ** 2)


@pytest.mark.parametrize("figure", [theory.sequence, theory.divergences])
def test_figures_without_training(figure, tmp_path):
    figure(tmp_path, "quick")
    (picture,) = tmp_path.glob("*.svg")
    assert picture.read_text().startswith("<svg")
    (record,) = tmp_path.glob("*.json")
    assert json.loads(record.read_text())["command"].startswith("taut reproduce")


def test_convex_functions_are_divergences():
    """`E f(w)` of a Bernoulli pair, against its sums; and chi-square above KL."""
    p, q = np.array([0.3, 0.7]), np.array([0.6, 0.4])
    reverse, forward, square = (q @ fn(p / q) for fn in theory.CONVEX.values())
    assert np.isclose(reverse, q @ np.log(q / p))
    assert np.isclose(forward, p @ np.log(p / q))
    assert np.isclose(square, ((p - q) ** 2 / q).sum())
    assert square > forward


def test_toy_proposals_are_experiments():
    assert isinstance(PRESETS["ring-markov"].budgets["full"], Toy)
