"""Buffered SVI as published: every row traces, one trains, and what is refused."""

import math
from dataclasses import replace

import equinox as eqx
import jax
import jax.extend.core
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut
from taut.papers.buffered import PRESETS
from taut.papers.buffered.evaluation import Examination
from taut.papers.buffered.further import (
    AdaptedBSVI,
    IterativeBSVI,
    NaturalBSVI,
    SemiAmortised,
)
from taut.papers.buffered.inference import (
    BSVI,
    SVI,
    Amortised,
    Rules,
    bounds_on_the_way,
)
from taut.papers.buffered.model import Grey, Network, law
from taut.papers.buffered.published import COLUMNS, ESTIMATORS, TEST, TRAIN
from taut.papers.buffered.settings import BufferedVAE, scale_of
from taut.papers.experiment import Splits
from taut.train import EXAMPLES, Context, fit

ROWS = {preset.name: preset for preset in PRESETS}
SHAPES = {"Omniglot": (28, 28, 1), "SVHN": (32, 32, 1), "Fashion-MNIST": (28, 28, 1)}
LITTLE = Network(latent=3, encoder=3, decoder=3, kernels=(3, 3), stages=2)
SIDE = (8, 8, 1)


def little(inference, **changes):
    made = BufferedVAE(
        steps=4,
        inference=inference,
        network=LITTLE,
        batch_size=6,
        examination=Examination(3, (2, 4), 2, train_images=2),
    )
    return replace(made, **changes)


def splits(shape=SIDE, num=12, levels=2):
    images = np.random.default_rng(0).integers(0, levels, (num, *shape))
    x = images.astype(np.float32)
    return Splits(x, x[:4], x[4:8], digest="made", mean=x.mean(0))


def one_step(settings, shape=SIDE, num=3):
    """Loss, metrics, new state and gradients as a function of a key and a batch."""
    (phase,) = settings.phases()

    def step(key, xs):
        model = settings.make(key, splits(shape))
        state = settings.state()

        def mean(model):
            def one(key, x):
                return phase.loss(model, Context(key, key, jnp.int32(0), state), x)

            losses, aux = jax.vmap(one, axis_name=EXAMPLES)(jr.split(key, num), xs)
            return jnp.mean(losses), jax.tree.map(lambda a: jnp.mean(a, 0), aux)

        (loss, aux), slope = eqx.filter_value_and_grad(mean, has_aux=True)(model)
        return loss, aux, phase.update(state, aux), slope

    return step, jnp.zeros((num, *shape))


def made_model(settings, images=None):
    images = splits() if images is None else images
    return eqx.filter_jit(lambda key: settings.make(key, images))(jr.key(1))


def trained(settings, images, **kwargs):
    made = splits() if images is None else images
    return fit(
        jr.key(0),
        made_model(settings, made),
        settings.phases(),
        jnp.asarray(made.train),
        state=settings.state(),
        steps=settings.steps,
        batch_size=settings.batch_size,
        prepare=made.prepare,
        **kwargs,
    )


def test_rows():
    """Nine rows for each data set, eight of them published, and four more on Omniglot;
    three budgets each.
    """
    assert len(PRESETS) == 31
    for preset in PRESETS:
        assert set(preset.budgets) == {"quick", "medium", "full"}
        assert (preset.published is None) == (preset.table == "ours")
        assert "reduced" in preset.row
    tables = {table for preset in PRESETS for table in (preset.table, *preset.also)}
    assert tables == {"ours", *(f"table{n}" for n in range(1, 13))}
    filled = lambda name: {p.name for p in PRESETS if name in (p.table, *p.also)}
    assert filled("table12") == filled("table9") == filled("table6")
    assert filled("table2") == {
        f"buffered-svhn-{row}" for row in ("vae", "iwae", "svi", "bsvi-sir")
    }
    assert ROWS["buffered-omniglot-bsvi-sir"].published.value == -88.80
    full = ROWS["buffered-svhn-bsvi"].budgets["full"]
    assert full.network == Network(latent=64)
    assert full.examination == Examination()
    assert full.batch_size == 50
    assert full.steps == 200_000


def test_published_tables_agree():
    """ELBO* + KL* + Rec* = 0 (Table 8 is rounded to one), and LL is BSVI-500."""
    assert len(COLUMNS) == 4
    for table, slack in ((TEST, 0.011), (TRAIN, 1.5)):
        for rows in table.values():
            for _, (elbo, _), (kl, _), (rec, _) in rows.values():
                assert elbo + kl + rec == pytest.approx(0, abs=slack)
    for name, rows in TEST.items():
        for row, cells in rows.items():
            other = {"svi": "iwae", "iwae": "svi", "bsvi-pi": "bsvi-sir"}
            other["bsvi-sir"] = "bsvi-pi"  # Table 12 as printed
            row = other.get(row, row) if name == "fashion_mnist" else row
            slack = 0.51 if name == "svhn" else 1e-6
            assert ESTIMATORS[name][row][0] == pytest.approx(cells[0][0], abs=slack)


TRACED = [
    name
    for name in ROWS
    if name in ("buffered-omniglot-vae", "buffered-omniglot-semi-amortised")
    or name.endswith("-bsvi-sir-pi")
]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in TRACED else pytest.mark.thorough)
        for name in ROWS
    ],
)
def test_one_step_of_every_row(name):
    """Traced, not compiled: shapes, metrics and gradients of the right parts."""
    preset = ROWS[name]
    settings = preset.budgets["quick"]
    step, xs = one_step(settings, SHAPES[preset.dataset])
    loss, aux, state, slope = eqx.filter_eval_shape(step, jr.key(0), xs)
    assert loss.shape == ()
    assert ("svi" in aux) == (not isinstance(settings.inference, Amortised))
    assert ("scale" in aux) == (preset.dataset != "Omniglot")
    same = lambda a, b: a.shape == b.shape
    assert jax.tree.all(jax.tree.map(same, state, settings.state()))
    learned = isinstance(slope.weights, taut.SoftmaxWeights)
    assert learned == name.endswith("-pi")


@pytest.mark.parametrize(
    ("dataset", "parameters"),
    [("omniglot", 1_017_249), ("fashion-mnist", 1_017_250), ("svhn", 1_274_274)],
)
def test_published_sizes(dataset, parameters):
    preset = ROWS[f"buffered-{dataset}-bsvi-sir"]
    settings = preset.budgets["full"]
    make = lambda key: settings.make(key, splits(SHAPES[preset.dataset], 1))
    model = eqx.filter_eval_shape(make, jr.key(0))
    count = lambda tree: sum(
        leaf.size
        for leaf in jax.tree.leaves(tree)
        if isinstance(leaf, jax.ShapeDtypeStruct)
    )
    assert count(model) == parameters


def test_training(float32):
    """Four steps on made images; then the paper's numbers, image by image."""
    settings = little(BSVI(2, learned=True, indices=1))
    result = trained(settings, None, report_every=1)
    seen = [row for row in result.history if "bound" in row]
    assert len(seen) == 4
    assert all(np.isfinite(list(row.values())).all() for row in seen)
    moments = jax.tree.leaves(result.state)
    assert all(np.isfinite(m).all() for m in moments)
    assert not jnp.allclose(moments[1], 1.0)  # running statistics moved

    numbers = lambda start: list(
        settings.examination.numbers(
            jr.key(2), result.params, result.state, Rules(), splits().test,
            block=2, start=start,
        )
    )  # fmt: skip
    first, second = numbers(0)
    assert np.allclose(first.elbo, -(first.kl + first.reconstruction), atol=1e-4)
    assert first.importance.shape == (2, 2)
    assert np.all(np.asarray(first.buffered) < 0)
    # It goes on where it stopped: image by image the same numbers.
    (again,) = numbers(2)
    assert jax.tree.all(jax.tree.map(np.array_equal, again, second))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "inference",
    [
        Amortised(2),
        SVI(2, scratch=True),
        BSVI(2, learned=True, indices=1),
        BSVI(2, double=True, indices=2),
        NaturalBSVI(2, 0.05),
        IterativeBSVI(2, 5),
        AdaptedBSVI(2),
        SemiAmortised(2),
    ],
)
def test_both_ends(inference, float32):
    """Every inference trains, and its model has the two ends and its own bound."""
    settings = little(inference)
    result = trained(settings, None)
    density = settings.density(result.params, result.state)
    x, above = eqx.filter_jit(density.sample_and_log_prob)(jr.key(5))
    aimed = settings.shared(result.params, result.state, jr.key(0))
    below = eqx.filter_jit(aimed.log_prob)(jr.key(6), x)
    assert x.shape == SIDE
    assert set(np.unique(x)) <= {0.0, 1.0}
    # Neither is the evidence, but of these 64 coins both are within reason.
    assert -70 < below < -20
    assert -70 < above < -20
    own = settings.validated(result.params, result.state, jr.key(0))
    assert np.isfinite(eqx.filter_jit(own.log_prob)(jr.key(6), x))


@pytest.mark.parametrize(
    "inference",
    [IterativeBSVI(1, 5), pytest.param(AdaptedBSVI(1), marks=pytest.mark.thorough)],
)
def test_what_is_learned_of_the_steps(inference, float32):
    """It follows the bound of its own steps."""
    settings = little(inference)
    step, xs = one_step(settings, num=2)
    xs = xs.at[:, ::2].set(1.0)
    _, _, _, slope = eqx.filter_jit(step)(jr.key(0), xs)
    leaves = jax.tree.leaves(eqx.filter(slope.learned, eqx.is_array))
    assert all(jnp.isfinite(leaf).all() for leaf in leaves)
    assert any(jnp.abs(leaf).max() > 1e-6 for leaf in leaves)


def products(jaxpr):
    """Multiplications in matrix products, with loops multiplied out; and equations."""
    total, equations = 0, len(jaxpr.eqns)
    for eqn in jaxpr.eqns:
        assert eqn.primitive.name != "conv_general_dilated", "count these as well"
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            over = math.prod(eqn.invars[0].aval.shape[d] for d in contracted)
            total += over * math.prod(eqn.outvars[0].aval.shape)
        times = eqn.params.get("length", 1) if eqn.primitive.name == "scan" else 1
        for inner in jax.extend.core.jaxprs_in_params(eqn.params):
            more, lines = products(inner)
            total, equations = total + times * more, equations + lines
    return total, equations


def cost(inference):
    step, xs = one_step(little(inference), num=2)
    return products(jax.make_jaxpr(lambda k, x: step(k, x)[0::3])(jr.key(0), xs).jaxpr)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="counts matrix products")
def test_cost_of_a_step():
    """One more step of SVI costs the same whichever estimator follows, as the backward
    pass of SIR does not grow with k; that of plain BSVI does. The steps are one body.
    """
    rows = {
        "svi": lambda k: SVI(k),
        "sir": lambda k: BSVI(k, indices=1),
        "all": lambda k: BSVI(k),
    }
    costs = {name: (cost(row(3)), cost(row(9))) for name, row in rows.items()}
    slope = {name: (b[0] - a[0]) / 6 for name, (a, b) in costs.items()}
    assert slope["svi"] > 0
    assert slope["sir"] == pytest.approx(slope["svi"], rel=0.01)
    assert slope["all"] > 1.5 * slope["sir"]
    assert costs["sir"][1][0] < 1.15 * costs["svi"][1][0]
    assert costs["all"][1][0] > 1.3 * costs["svi"][1][0]
    for short, long in costs.values():
        assert short[1] == long[1]  # no equation more for six steps more


def test_steps_of_the_paper():
    """Rate 1 on the gradient of a mean over 50, clipped at 1 / sqrt(50) each: the same
    as our rate 1/50 and norm sqrt(50) on the gradient of one image.
    """
    rules = Rules()
    slope = {"loc": jnp.array([300.0, 400.0]), "log_variance": jnp.array([3.0, 4.0])}
    theirs = jax.tree.map(lambda g: g / 50, slope)
    norm = lambda g: jnp.linalg.norm(g)
    theirs = jax.tree.map(lambda g: g * jnp.minimum(1.0, 50**-0.5 / norm(g)), theirs)
    ours = jax.tree.map(lambda g: rules.step_size * g, rules.clip(slope))
    assert jax.tree.all(jax.tree.map(jnp.allclose, ours, theirs))
    assert jnp.allclose(ours["log_variance"], jnp.array([3.0, 4.0]) / 50)
    # As published, the norm is that of the batch's mean.
    batch = jnp.stack([jnp.full(2, 100.0)] * 50)
    whole = replace(rules, whole_batch=True).clip
    moved = rules.step_size * jax.vmap(whole, axis_name=EXAMPLES)(batch)
    assert jnp.linalg.norm(moved) == pytest.approx(1.0)


def gaussian_target():
    likelihood = lambda z: taut.Normal(z, jnp.zeros(1))
    return taut.Conditioned(
        taut.Joint(taut.StandardNormal((1,)), likelihood), jnp.array([1.5])
    )


@pytest.mark.parametrize("closed_kl", [False, True])
def test_steps_move_the_log_variance(closed_kl):
    """One step by hand: along the gradient with respect to the log of the variance."""
    q, target = law((jnp.array([0.5]), jnp.array([-0.2]))), gaussian_target()
    assert jnp.allclose(q.log_variance, -0.4)
    rules = Rules(closed_kl=closed_kl)
    sampler = BSVI(1).sampler(q, taut.EqualWeights(), rules, None)

    def climbed(loc, log_variance, noise):
        z = loc + jnp.exp(log_variance / 2) * noise
        if closed_kl:
            divergence = (loc**2 + jnp.exp(log_variance) - 1 - log_variance) / 2
            log_likelihood = target.joint.likelihood(z).log_density(target.x)
            return log_likelihood - jnp.sum(divergence)
        log_q = taut.LogVarianceNormal(loc, log_variance).log_density(z)
        return target.log_prob(jr.key(0), z) - log_q

    @eqx.filter_jit
    def both(key):
        particles = sampler.run(key, target)
        noise = q.to_noise(particles.value[0])
        slopes = jax.grad(climbed, (0, 1))(q.loc, q.log_variance, noise)
        return particles.diagnostics.proposal, slopes

    last, slopes = both(jr.key(0))
    assert jnp.allclose(last.loc[1], q.loc + slopes[0] / 50)
    assert jnp.allclose(last.log_variance[1], q.log_variance + slopes[1] / 50)


def test_diverging_steps_are_counted():
    """A rate beyond all numbers: no step is taken, each is counted, the bound holds."""
    q, inference = law((jnp.array([0.5]), jnp.array([-0.2]))), BSVI(3)
    wild = Rules(rate=math.inf)
    sampler = inference.sampler(q, taut.EqualWeights(), wild, None)
    particles = eqx.filter_jit(sampler.run)(jr.key(0), gaussian_target())
    told = bounds_on_the_way(particles, sampler.weights)
    assert told["rejected"] == 3
    assert jnp.isfinite(told["bound"])
    assert jnp.all(particles.diagnostics.proposal.loc == 0.5)


@pytest.mark.thorough
def test_diverging_steps_are_counted_image_by_image(float32):
    """In the evaluation: every image says how many of its steps were refused."""
    settings = little(BSVI(1))
    model, state = made_model(settings), settings.state()

    def refused(rate):
        rules = Rules(rate=rate)
        images = splits().test
        blocks = settings.examination.numbers(jr.key(2), model, state, rules, images)
        (numbers,) = blocks
        assert np.isfinite(numbers.buffered).all()
        return np.asarray(numbers.rejected)

    assert np.array_equal(refused(math.inf), np.full(4, 3))
    assert np.array_equal(refused(1.0), np.zeros(4))


@pytest.mark.parametrize("rise_always", [True, False])
def test_images_need_not_be_square(rise_always):
    network = replace(LITTLE, rise_always=rise_always)
    trace(little(BSVI(1), network=network), (8, 12, 1))
    made = eqx.filter_eval_shape(
        lambda key: little(BSVI(1), network=network).make(key, splits((8, 12, 1))),
        jr.key(0),
    )
    rises = [group.rise for group in made.likelihood.network.groups]
    assert rises == [int(rise_always)]


def test_kl_weight():
    settings = little(BSVI(1), warm_up=5000)
    weights = [float(settings.kl_weight(step)) for step in (0, 2500, 5000, 9000)]
    assert weights == pytest.approx([0.1, 0.55, 1.0, 1.0])
    assert little(BSVI(1)).kl_weight(0) is None


def test_whole_batch_has_ends_all_the_same(float32):
    """Training may clip the whole batch; the evaluated density never does."""
    settings = little(BSVI(1), rules=Rules(whole_batch=True))
    trace(settings)

    def upper(key):
        model = settings.make(key, splits())
        density = settings.density(model, settings.state())
        return density.sample_and_log_prob(key)[1]

    assert eqx.filter_eval_shape(upper, jr.key(0)).shape == ()


def test_scale_at_its_bound():
    """A scale that has nowhere to go is reported."""
    settings = little(Amortised(), pixels=Grey())
    head = settings.pixels.head()
    assert float(scale_of(head)["scale"]) == pytest.approx(0.1)
    assert not scale_of(head)["scale_at_floor"]
    low = eqx.tree_at(lambda h: h.raw_scale, head, jnp.array(-30.0))
    assert scale_of(low)["scale_at_floor"]
    assert float(scale_of(low)["scale"]) == pytest.approx(1e-3)


def trace(settings, shape=SIDE, xs=None):
    step, zeros = one_step(settings, shape)
    return eqx.filter_eval_shape(step, jr.key(0), zeros if xs is None else xs)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: trace(little(BSVI(-1))), "steps must be an integer of at least 0"),
        (lambda: trace(little(Amortised(0))), "num must be an integer of at least 1"),
        (lambda: trace(little(BSVI(1, indices=0))), "indices must be an integer"),
        (
            lambda: trace(little(BSVI(1)), xs=jnp.zeros((3, 9, 8, 1))),
            r"for images of shape \(8, 8, 1\)",
        ),
        (
            lambda: trace(little(BSVI(1)), (3, 3, 1)),
            "images of at least 4 pixels a side",
        ),
        (lambda: Rules(batch=0), "batch must be an integer of at least 1"),
        (lambda: Rules(momentum=-0.5), "a momentum of at least 0"),
        (lambda: Rules(max_norm=-1.0).clip, "at least 0; got -7"),
        (lambda: Examination(-1), "steps must be an integer of at least 0"),
        (lambda: Examination(1, ()), "least of counts must be an integer"),
        (
            lambda: trace(little(BSVI(1), network=replace(LITTLE, kernels=(4,)))),
            "kernels are odd",
        ),
        (lambda: trace(little(BSVI(1), pixels=Grey(0.2))), "scale starts above"),
    ],
)
def test_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_weights_of_another_length_are_refused():
    """A model trained with k steps is not run with others."""
    settings = little(BSVI(2, learned=True))
    other = replace(settings, inference=BSVI(3, learned=True))

    def lower(key):
        model = settings.make(key, splits())
        density = other.validated(model, settings.state(), key)
        return density.log_prob(key, jnp.zeros(SIDE))

    with pytest.raises(ValueError, match="expected 4 weights"):
        eqx.filter_eval_shape(lower, jr.key(0))
