"""Buffered SVI as published: every row traces, what a step costs, what is refused."""

import math
from dataclasses import replace

import equinox as eqx
import jax
import jax.extend.core
import jax.numpy as jnp
import jax.random as jr
import pytest
from buffered_fixture import LITTLE, SIDE, little, one_step, splits

import taut
from taut.papers.buffered import PRESETS
from taut.papers.buffered.evaluation import Examination
from taut.papers.buffered.inference import BSVI, SVI, Amortised, Rules
from taut.papers.buffered.model import Grey, Network
from taut.papers.buffered.published import COLUMNS, ESTIMATORS, TEST, TRAIN
from taut.papers.buffered.settings import scale_of

ROWS = {preset.name: preset for preset in PRESETS}
SHAPES = {"Omniglot": (28, 28, 1), "SVHN": (32, 32, 1), "Fashion-MNIST": (28, 28, 1)}


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
