"""Both energy papers: every row builds, and what is ours to get wrong is right."""

import json
from dataclasses import replace
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions
import pytest
from scipy.special import expit

import taut
from taut import information
from taut.cli import tables
from taut.core.density import AbstractDensity
from taut.nn.constant import num_parameters, trainable
from taut.nn.networks import latent_energy, toy_energy
from taut.papers import images
from taut.papers.energy_inspired import (
    FIGURES,
    PRESETS,
    mutual,
    planes,
    quadrature,
    ranking,
)
from taut.papers.energy_inspired.binary import check_range
from taut.papers.energy_inspired.continuous import MAF, LogitScale
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
from taut.papers.experiment import Splits
from taut.train import Context, NonFiniteError, fit
from taut.train.phase import Phase

BY_NAME = {preset.name: preset for preset in PRESETS}


def shape_of(settings):
    """Of one example, without reading any data."""
    if isinstance(settings, Plane):
        return (2,)
    if settings.dataset == "celeba":
        return (64, 64, 3)
    network = getattr(settings, "network", None)
    return (28, 28, 1) if network is not None and network.channels else (28, 28)


def splits_of(settings):
    shape = shape_of(settings)
    mean = 100.0 if "continuous" in type(settings).__module__ else 0.2
    empty = np.zeros((0, *shape), np.float32)
    return Splits(empty, None, empty, "none", mean=np.full(shape, mean, np.float32))


def kinds():
    """One preset for each way to build a model."""
    seen = {}
    for preset in PRESETS:
        full = preset.budgets["full"]
        network = getattr(full, "network", getattr(full, "large", None))
        seen.setdefault((type(full), type(full.law), network, shape_of(full)), preset)
    return list(seen.values())


@pytest.mark.parametrize("preset", kinds(), ids=lambda preset: preset.name)
def test_every_kind_traces(preset, float32):
    """One step of training, a score and a draw, without compiling any."""
    settings = preset.budgets["quick"]
    if isinstance(settings, MAF):
        pytest.importorskip("flowjax")
    shape, splits = shape_of(settings), splits_of(settings)

    def everything(key):
        model, state = settings.make(key, splits), settings.state()
        (phase,) = settings.phases()
        context = Context(key, key, jnp.int32(0), state)
        x = jnp.full(shape, 1.0)
        loss = lambda model: phase.loss(model, context, x)
        (_, aux), gradients = eqx.filter_value_and_grad(loss, has_aux=True)(model)
        state = phase.update(state, aux)
        density = settings.density(model, state)
        scores = settings.shared(model, state, key).log_prob(key, x)
        return gradients, scores, density.sample(key), density.log_prob(key, x)

    _, score, sample, again = eqx.filter_eval_shape(everything, jr.key(0))
    assert score.shape == again.shape == ()
    assert sample.shape == shape


def test_every_row_is_there():
    count = lambda table: sum(preset.table == table for preset in PRESETS)
    assert count("table1") == 3 * 13
    assert count("table2") == 3 * 8 + 1
    assert count("earlier-table1") == 10
    told = {n: p.published.value for n, p in BY_NAME.items() if p.published}
    assert told["dynamic-mnist-snis-on-conv-hvae"] == -79.91
    assert told["fashion-mnist-vae-lars"] == -227.45
    assert told["continuous-mnist-his-on-small-vae"] == -1186.06
    assert told["continuous-celeba-lars-on-vae"] == -57488.21
    assert told["earlier-static-mnist-snis-on-vae"] == -87.53
    for preset in PRESETS:
        assert set(preset.budgets) == {"quick", "medium", "full"}
        assert preset.bound != isinstance(preset.budgets["full"].law, LARS)
    assert {"figure1", "figure2", "figure3"} < set(FIGURES)


def test_learning_rates():
    """One drop to a third on images, none on points, as in the papers."""
    for preset in PRESETS:
        full = preset.budgets["full"]
        assert full.learning_rate == 3e-4
        assert full.drop == (None if isinstance(full, Plane) else 1_000_000)


def test_same_settings_share_their_runs():
    """The earlier paper's VAE is the later one's; its SNIS prior has one point more."""
    run = {"name": "static-mnist-vae", "budget": "medium"}
    other = {"name": "static-mnist-vae-snis", "budget": "medium"}
    found = tables.shared(PRESETS, [run, other])
    twin = "earlier-static-mnist-vae"
    assert [row for row in found if row["name"].startswith("earlier")] == [
        {"name": twin, "budget": "medium", "of": "static-mnist-vae"}
    ]
    own = {"name": twin, "budget": "medium"}
    assert tables.shared(PRESETS, [run, own]) == [run, own]


def zeros_like(shapes):
    """A model from its shapes alone."""
    is_shape = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)
    fill = lambda leaf: jnp.zeros(leaf.shape, leaf.dtype) if is_shape(leaf) else leaf
    return jax.tree.map(fill, shapes)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("static-mnist-vae", 697_484),
        ("static-mnist-vae-snis", 697_484 + 15_301),
        ("static-mnist-vae-his", 697_484 + 151_056),
        ("static-mnist-conv-hvae", 989_121),
        ("static-mnist-snis-on-vae", 697_484 + 88_701),
        ("continuous-mnist-small-vae", 33_588),
        ("nine-gaussians-snis", 501),
    ],
)
def test_parameter_counts(name, count):
    settings = BY_NAME[name].budgets["full"]
    make = lambda key: settings.make(key, splits_of(settings))
    model = zeros_like(eqx.filter_eval_shape(make, jr.key(0)))
    assert num_parameters(model) == count


# Truths in the plane -----------------------------------------------------------------


def first(x):
    """An energy of the first coordinate alone: the sheet's, with one more dimension."""
    return x[0]


def known(value, x):
    return value - 0.5 * x[1] ** 2 - 0.5 * np.log(2 * np.pi)


POINTS = np.array([[-1.0, 0.3], [0.0, -0.5], [1.0, 0.0]])


def test_quadrature_of_snis():
    model = taut.SelfNormalized(taut.StandardNormal((2,)), first, 2)
    found = quadrature.log_density(model, 1.0, jnp.asarray(POINTS))
    truth = [known(v, x) for v, x in zip((-1.08714, -0.91894, -1.91894), POINTS)]
    np.testing.assert_allclose(found, truth, atol=2e-5)


@pytest.mark.thorough
def test_quadrature_of_snis_with_far_weights():
    """One weight far above all others: nearly K times the proposal's density."""
    steep = lambda x: 20.0 * x[0]
    model = taut.SelfNormalized(taut.StandardNormal((2,)), steep, 2)
    xs = jnp.array([[-3.0, 0.2], [0.5, 0.0]])
    z = np.linspace(-9, 9, 20_001)
    weight = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    # w / (w + w_2) = sigmoid(20 (z_2 - x)).
    chance = [weight @ expit(20 * (z - x)) for x in xs[:, 0]]
    truth = np.log(2 * np.array(chance)) + jax.scipy.stats.norm.logpdf(xs).sum(1)
    found = quadrature.log_density(model, 1.0, xs)
    np.testing.assert_allclose(found, truth, atol=5e-3)


def test_quadrature_of_rejection():
    model = taut.TruncatedRejection(taut.StandardNormal((2,)), first, 5)
    found = quadrature.log_density(model, 1.0, jnp.asarray(POINTS[1:]))
    truth = [known(v, x) for v, x in zip((-0.91894, -1.98675), POINTS[1:])]
    np.testing.assert_allclose(found, truth, atol=2e-5)


def test_quadrature_of_his():
    """Without an energy the position drifts: N(0, 1 + (T eps)^2)."""
    law = HIS(2, alpha=1.0)
    model = law.build(taut.StandardNormal((2,)), lambda key: jnp.sum, key=jr.key(0))
    where = lambda model: model.hamiltonian.energy
    model = eqx.tree_at(where, model, lambda x: 0.0 * jnp.sum(x))
    wide = eqx.filter_jit(
        lambda xs: jax.vmap(
            taut.Normal(jnp.zeros(2), jnp.full(2, 0.5 * jnp.log(1.25))).log_density
        )(xs)
    )
    xs = jnp.asarray(POINTS)
    found = quadrature.log_density(model, 1.0, xs)
    np.testing.assert_allclose(found, wide(xs), atol=1e-3)


def test_rotations_are_unbiased(getkey):
    """The mean over orders of the same proposals estimates the exact density."""
    law = TRS(5)
    model = law.build(taut.StandardNormal((2,)), lambda key: first, key=getkey())

    @jax.jit
    def estimates(keys):
        one = lambda key: law.shared(model, None, key).log_prob(key, POINTS[2])
        return jnp.exp(jax.vmap(one)(keys))

    found = estimates(jr.split(getkey(), 40_000))
    truth = np.exp(known(-1.98675, POINTS[2]))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 4 * error
    assert error < 2e-3 * truth  # the test can see an error


def test_lars_settles_on_the_rate(getkey):
    law = LARS(num=5, evaluation_draws=100_000)
    model = law.build(taut.StandardNormal((2,)), lambda key: first, key=getkey())
    rate, told = law.settle(getkey(), model, law.state())
    assert abs(rate - 0.5) < 4 * told["acceptance_se"] < 0.01
    density = law.density(model, jnp.array(0.5), lambda model: model)
    assert not isinstance(density, AbstractDensity)  # so no upper end is computed
    score = density.log_prob(getkey(), jnp.asarray(POINTS[2]))
    np.testing.assert_allclose(score, known(-1.98675, POINTS[2]), atol=2e-5)


def test_published_trs_is_evaluated_as_the_same_law(getkey):
    law, key = PublishedTRS(5), getkey()
    model = law.build(taut.StandardNormal((2,)), lambda key: first, key=key)
    target, _ = law.aim(model, None, key)
    loss = target.log_prob(key, POINTS[2])
    assert loss < known(-1.98675, POINTS[2]) + 0.5
    evaluated = law.density(model, None, lambda model: model)
    assert isinstance(evaluated, taut.TruncatedRejection)


# Images ------------------------------------------------------------------------------


def test_logit_scale():
    """Back and forth, and its determinant by automatic differentiation."""
    scale = LogitScale(jnp.full((2, 3), 80.0))
    x = jnp.array([[0.0, 1e-4, 40.0], [128.0, 255.0, 255.999]])
    u, log_det = scale.to_base(x)
    assert u.shape == (6,)
    jacobian = jax.jacobian(lambda x: scale.to_base(x)[0])(x).reshape(6, 6)
    np.testing.assert_allclose(log_det, jnp.linalg.slogdet(jacobian)[1], rtol=1e-9)
    back, same = scale.from_base(u)
    np.testing.assert_allclose(back, x, atol=1e-6)
    np.testing.assert_allclose(same, log_det, rtol=1e-9)


def test_units_are_bits_of_256_levels():
    """Uniform pixels take eight bits each; 1.89 bits on 784 pixels are 1027 nats."""
    scale = LogitScale(jnp.full((4,), 80.0))
    logistic = numpyro.distributions.Logistic(-scale.center(), 1.0).to_event(1)
    model = taut.Transformed(taut.Exact(logistic), scale)
    x = jnp.array([0.5, 77.0, 128.0, 255.5])
    nats = -model.log_prob(jr.key(0), x)
    np.testing.assert_allclose(nats / (4 * np.log(2)), 8.0, atol=1e-5)
    told = -BY_NAME["continuous-mnist-maf"].published.value
    np.testing.assert_allclose(told / (784 * np.log(2)), 1.89, atol=0.005)


@pytest.mark.parametrize("value", [-1.0, 257.0])
def test_no_density_outside_the_levels(value):
    scale = LogitScale(jnp.full((2,), 80.0))
    u, log_det = scale.to_base(jnp.array([100.0, value]))
    assert log_det == -jnp.inf
    assert jnp.all(jnp.isfinite(u))


def test_draws_stay_inside_the_levels(float32):
    """Where float32 rounds a sigmoid to 0 or 1 a draw still has a density."""
    scale = LogitScale(jnp.full((4,), 128.0))
    x, _ = scale.from_base(jnp.array([-60.0, -16.0, 16.0, 60.0]))
    u, log_det = scale.to_base(x)
    assert jnp.all(jnp.isfinite(u))
    assert jnp.isfinite(log_det)
    assert jnp.all(jnp.diff(u) >= 0)


def test_his_gradients_are_of_second_order(getkey):
    """Through the gradients of the energy, against finite differences."""
    energy = lambda key: latent_energy(3, key=key)
    model = HIS(3).build(taut.StandardNormal((3,)), energy, key=getkey())
    x, key = jr.normal(getkey(), (3,)), getkey()
    where = lambda model: model.hamiltonian.energy
    learned, held = eqx.partition(where(model), trainable(where(model)))
    leaves, tree = jax.tree.flatten(learned)
    keys = jr.split(getkey(), len(leaves))
    noise = [jr.normal(k, leaf.shape) for k, leaf in zip(keys, leaves)]
    direction = jax.tree.unflatten(tree, noise)

    @jax.jit
    def along(step):
        moved = jax.tree.map(lambda a, d: a + step * d, learned, direction)
        part = eqx.combine(moved, held)
        return eqx.tree_at(where, model, part).log_prob(key, x)

    slope = jax.jit(jax.grad(along))(0.0)
    assert abs(slope) > 1e-3
    found = (along(1e-5) - along(-1e-5)) / 2e-5
    np.testing.assert_allclose(slope, found, rtol=1e-6)


def lowered(name, batch=128):
    """The gradient of one training step, not compiled; there are no loops in it."""
    settings = BY_NAME[name].budgets["full"]
    key = jr.key(0)
    make = lambda key: settings.make(key, splits_of(settings))
    model = zeros_like(eqx.filter_eval_shape(make, key))
    (phase,) = settings.phases()
    dynamic, static = eqx.partition(model, eqx.is_inexact_array)

    def mean_loss(dynamic, key, xs):
        model = eqx.combine(dynamic, static)
        skey, ekey = jr.split(key)

        def one(key, x):
            return phase.loss(model, Context(key, skey, jnp.int32(0), None), x)[0]

        return jnp.mean(jax.vmap(one)(jr.split(ekey, batch), xs))

    xs = jnp.zeros((batch, *shape_of(settings)))
    return jax.jit(jax.grad(mean_loss)).lower(dynamic, key, xs)


def flops_ratio(analyse):
    snis, gaussian = lowered("static-mnist-vae-snis"), lowered("static-mnist-vae")
    return analyse(snis)["flops"] / analyse(gaussian)["flops"]


def test_one_set_of_proposals_a_step(float32):
    """K = 1024 shared proposals, not 1024 for each of 128 images."""
    assert 1.05 < flops_ratio(lambda step: step.cost_analysis()) < 1.6


@pytest.mark.thorough
def test_one_set_of_proposals_a_compiled_step(float32):
    assert 1.05 < flops_ratio(lambda step: step.compile().cost_analysis()) < 1.6


# Ranking -----------------------------------------------------------------------------


def test_ranking_nce_is_the_snis_bound(getkey):
    """Up to `log pi`, which knows nothing of the score."""
    params, num = jnp.array([0.5, -0.2]), 4
    xs = jr.normal(getkey(), (3,))
    key = getkey()
    noise = jax.vmap(lambda k: taut.StandardNormal((1,)).sample(k))(
        taut.core.checks.particle_keys(key, num - 1)
    )[:, 0]
    energy = lambda x: ranking.energy(params, x[0])
    proposal = taut.StandardNormal((1,))
    model = taut.SelfNormalized(proposal, energy, num)
    loss = ranking.ranking_loss(params, xs, jnp.broadcast_to(noise, (3, num - 1)))
    ratios = jax.vmap(lambda x: model.log_ratio(key, x[None]))(xs)
    np.testing.assert_allclose(-loss, jnp.mean(ratios), rtol=1e-12)


def test_noise_may_be_learned(getkey):
    """The same bound moves the proposal, through its points and through `log pi`."""
    settings = Plane(steps=1, law=SNIS(8), learned=True)
    model = settings.make(getkey(), None)
    (phase,) = settings.phases()
    context = Context(getkey(), getkey(), jnp.int32(0), None)
    loss = lambda model: phase.loss(model, context, jnp.array([1.0, 2.0]))[0]
    slope = eqx.filter_jit(eqx.filter_grad(loss))(model).proposal
    assert jnp.all(slope.loc < 0)  # towards the point
    fixed = replace(settings, learned=False).make(getkey(), None)
    assert not jax.tree.leaves(fixed.proposal)


def test_ranking_nce_is_consistent(float32):
    """K = 2, a well-specified score: errors fall like one over the root of n."""
    few, many = (float(ranking.errors(jr.key(0), n, 2, 16)) for n in (100, 1600))
    assert many < few / 2
    assert many < 0.1


@pytest.mark.thorough
def test_what_critics_learn(float32):
    """The best one has a square of `x`: a bilinear critic cannot have it."""
    joint, truth = information.correlated_gaussians(mutual.RHO, mutual.DIM)
    found = mutual.measured(joint, 8, 500)
    best, upper = found["best critic"], found["upper (leave-one-out)"]
    for name in ("separable critic", "free critic"):
        assert best.value - 0.15 < found[name].value < best.value + 4 * best.se
    assert found["bilinear critic"].value < best.value - 0.3
    assert best.value < min(truth, np.log(8))
    assert upper.value > truth


# Training, and what is refused -------------------------------------------------------


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
