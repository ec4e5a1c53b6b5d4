"""Both energy papers: every row builds, and images keep their scale and their cost."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions
import pytest
from energy_rows import BY_NAME, shape_of, splits_of

import taut
from taut.cli import tables
from taut.nn.constant import num_parameters, trainable
from taut.nn.networks import latent_energy
from taut.papers.energy_inspired import FIGURES, PRESETS
from taut.papers.energy_inspired.continuous import MAF, LogitScale
from taut.papers.energy_inspired.laws import HIS, LARS
from taut.papers.energy_inspired.plane import Plane
from taut.train import Context


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
