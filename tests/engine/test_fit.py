import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from small_problems import (
    DATA,
    autoencoder,
    digest,
    make_autoencoder,
    quadratic,
    settings,
)

from taut.train import (
    CompiledLoop,
    HostLoop,
    NonFiniteError,
    Phase,
    Validation,
    fit,
    only,
)

START = jnp.zeros(3, jnp.float32)


def quadratic_fit(steps=60, **changes):
    values = dict(
        params=START,
        phases=Phase(quadratic, optax.adam(1e-1)),
        data=DATA,
        batch_size=10,
        key=jr.key(0),
    )
    return fit(steps=steps, **(values | changes))


def test_three_lines():
    result = fit(
        jr.key(0),
        START,
        Phase(quadratic, optax.adam(optax.cosine_decay_schedule(0.1, 400))),
        DATA,
        steps=400,
        batch_size=50,
    )
    np.testing.assert_allclose(result.params, DATA.mean(0), atol=0.05)
    assert [row["step"] for row in result.history] == [100, 200, 300, 400]
    assert set(result.history[0]) == {"step", "loss", "distance"}
    assert result.averaged is result.params


def test_chunk_size_changes_no_bit():
    def train(chunk):
        loop = CompiledLoop(chunk)
        return fit(**settings(), steps=60, report_every=20, loop=loop)

    first, *others = [train(chunk) for chunk in (23, 1, 60)]
    for other in others:
        assert digest(first.params) == digest(other.params)
        assert digest(first.averaged) == digest(other.averaged)
        assert first.history == other.history


def test_host_loop_computes_the_same():
    one = quadratic_fit(polyak=0.9)
    other = quadratic_fit(polyak=0.9, loop=HostLoop(11))
    np.testing.assert_allclose(one.params, other.params, rtol=1e-5)
    np.testing.assert_allclose(one.averaged, other.averaged, rtol=1e-5)


def test_same_seed_same_numbers_other_seed_others():
    first, again = quadratic_fit(), quadratic_fit()
    other = quadratic_fit(key=jr.key(1))
    assert digest(first.params) == digest(again.params)
    assert digest(first.params) != digest(other.params)


def test_parameters_given_stay_usable():
    params = jnp.zeros(3, jnp.float32)
    fit(
        jr.key(0), params, Phase(quadratic, optax.sgd(0.1)), DATA, steps=3, batch_size=5
    )
    np.testing.assert_array_equal(params, np.zeros(3))


def test_against_a_loop_written_by_hand():
    # Full batches and no noise: plain gradient descent with momentum.
    def loss(w, context, x):
        return jnp.sum((w - x) ** 2), None

    result = quadratic_fit(
        steps=20, phases=Phase(loss, optax.sgd(0.05, 0.9)), batch_size=len(DATA)
    )
    w, v = np.zeros(3), np.zeros(3)
    for _ in range(20):
        v = 0.9 * v + 2 * (w - DATA.mean(0))
        w = w - 0.05 * v
    np.testing.assert_allclose(result.params, w, rtol=1e-4)


def test_every_epoch_visits_every_example_once():
    # state counts the visits: aux is one-hot in the example.
    data = np.arange(12)
    loss = lambda w, context, x: (w * 0.0, jax.nn.one_hot(x, 12))
    update = lambda state, aux: state + 4 * aux
    phase = Phase(loss, optax.sgd(0.1), update=update)

    def visits(steps):
        start, state = jnp.float32(0), jnp.zeros(12)
        options = dict(steps=steps, batch_size=4, state=state)
        return np.round(fit(jr.key(0), start, phase, data, **options).state)

    np.testing.assert_array_equal(visits(15), 5 * np.ones(12))
    assert sorted(visits(4)) == [1.0] * 8 + [2.0] * 4
    assert set(np.flatnonzero(visits(1))) != set(np.flatnonzero(visits(4) - 1))


def test_partial_batches_are_left_out_in_turn():
    data = np.arange(7)
    loss = lambda w, context, x: (w * 0.0, jax.nn.one_hot(x, 7))
    phase = Phase(loss, optax.sgd(0.1), update=lambda state, aux: state + 3 * aux)
    result = fit(
        jr.key(0),
        jnp.float32(0),
        phase,
        data,
        steps=200,
        batch_size=3,
        state=jnp.zeros(7),
    )
    # 100 epochs leave out one of seven: Binomial(100, 1/7), sd 3.5.
    left_out = 100 - np.round(result.state)
    assert left_out.sum() == 100
    assert np.all(np.abs(left_out - 100 / 7) < 5 * 3.5)


def test_phases_follow_one_another():
    # Each phase sees what the one before it left: b := a - 1 and then a := b - 1.
    follow = lambda mine, other: (
        lambda p, context, x: (
            0.5 * (p[mine] - jax.lax.stop_gradient(p[other]) + 1) ** 2,
            {"before": p[other]},
        )
    )
    leaf = lambda name: only(lambda p: p[name])
    phases = [
        Phase(follow("b", "a"), optax.sgd(1.0), leaf("b"), name="b"),
        Phase(follow("a", "b"), optax.sgd(1.0), leaf("a"), name="a"),
    ]
    start = {"a": jnp.float32(0), "b": jnp.float32(0)}
    result = fit(jr.key(0), start, phases, DATA, steps=3, batch_size=2, report_every=1)
    assert float(result.params["b"]) == -5
    assert float(result.params["a"]) == -6
    assert [row["a/before"] for row in result.history] == [-1, -3, -5]
    assert [row["b/before"] for row in result.history] == [0, -2, -4]


def test_two_updates_of_one_part_per_update_of_the_other():
    def loss(p, context, x):
        return p["encoder"] + p["decoder"], None

    encoder, decoder = (
        Phase(loss, optax.sgd(1.0), {"encoder": part, "decoder": not part})
        for part in (True, False)
    )
    start = {"encoder": jnp.float32(0), "decoder": jnp.float32(0)}
    result = fit(
        jr.key(0), start, [encoder, encoder, decoder], DATA, steps=5, batch_size=2
    )
    assert (float(result.params["encoder"]), float(result.params["decoder"])) == (
        -10,
        -5,
    )
    assert {"phase0/loss", "phase1/loss", "phase2/loss"} < set(result.history[0])


def test_state_has_no_gradient_and_follows_the_batch_mean():
    def loss(w, context, x):
        return w * context.state["scale"] * jnp.sum(x), {"x": x}

    update = lambda state, aux: {"scale": 0.5 * state["scale"] + 0.5 * aux["x"][0]}
    result = fit(
        jr.key(0),
        jnp.float32(0),
        Phase(loss, optax.sgd(0.0), update=update),
        np.full((8, 1), 3.0, np.float32),
        steps=4,
        batch_size=8,
        state={"scale": jnp.float32(1)},
    )
    np.testing.assert_allclose(result.state["scale"], 3 - 2 * 0.5**4, rtol=1e-6)


def test_shared_key_is_shared_and_example_keys_are_not():
    def loss(w, context, x):
        mine, common = (jr.normal(k) for k in (context.key, context.shared))
        return w * 0.0, {
            "mine": mine,
            "mine2": mine**2,
            "common": common,
            "common2": common**2,
        }

    phase = Phase(loss, optax.sgd(0.1))
    result = fit(
        jr.key(0), START[0], phase, DATA, steps=4, batch_size=50, report_every=1
    )
    for row in result.history:
        assert abs(row["common2"] - row["common"] ** 2) < 1e-6
        assert row["mine2"] - row["mine"] ** 2 > 0.3
    assert len({row["common"] for row in result.history}) == 4


def test_weights_annealed_by_the_step():
    def loss(w, context, x):
        return w * 0.0, {"weight": jnp.minimum(1.0, context.step / 4)}

    phase = Phase(loss, optax.sgd(0.1))
    result = fit(
        jr.key(0), START[0], phase, DATA, steps=6, batch_size=5, report_every=1
    )
    assert [row["weight"] for row in result.history] == [0, 0.25, 0.5, 0.75, 1, 1]


def test_prepare_draws_afresh_each_time():
    # Dynamic binarisation of one grey pixel: the mean of the draws is its value.
    def loss(w, context, x):
        return w * 0.0, {"x": x, "binary": (x == 0) | (x == 1)}

    prepare = lambda key, x: jr.bernoulli(key, x).astype(jnp.float32)
    result = fit(
        jr.key(0),
        START[0],
        Phase(loss, optax.sgd(0.1)),
        np.full(50, 0.3, np.float32),
        steps=200,
        batch_size=50,
        prepare=prepare,
        report_every=200,
    )
    (row,) = result.history
    assert row["binary"] == 1
    assert abs(row["x"] - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 10_000)


def test_data_from_a_sampler():
    draw = lambda key: 2 + jr.normal(key, (3,), jnp.float32)
    schedule = optax.cosine_decay_schedule(0.1, 300)
    result = quadratic_fit(
        300, data=draw, phases=Phase(quadratic, optax.adam(schedule)), batch_size=64
    )
    np.testing.assert_allclose(result.params, 2 * np.ones(3), atol=0.1)


def test_seeds_are_runs_of_their_own():
    make = lambda key: jr.normal(key, (3,), jnp.float32)
    together = quadratic_fit(params=make, seeds=2, polyak=0.9)
    assert together.params.shape == (2, 3)
    for seed in range(2):
        key = jr.fold_in(jr.key(0), seed)
        alone = quadratic_fit(params=make(jr.fold_in(key, 3)), key=key, polyak=0.9)
        np.testing.assert_allclose(together.params[seed], alone.params, rtol=1e-5)
        np.testing.assert_allclose(together.averaged[seed], alone.averaged, rtol=1e-5)
        np.testing.assert_allclose(
            together.history[0]["loss"][seed], alone.history[0]["loss"], rtol=1e-5
        )


def test_seeds_with_networks_state_and_validation():
    score = lambda key, params, state: -state
    result = fit(
        jr.key(0),
        make_autoencoder,
        Phase(autoencoder, optax.adam(1e-2), update=lambda state, aux: state + 1),
        DATA,
        steps=6,
        batch_size=8,
        seeds=2,
        state=jnp.float32(0),
        validation=Validation(score, every=2),
    )
    np.testing.assert_array_equal(result.state, [6, 6])
    assert result.best is not None
    np.testing.assert_array_equal(result.best.step, [2, 2])
    assert result.best.params[0].layers[0].weight.shape == (2, 16, 3)


def test_polyak_average_is_bias_corrected():
    # p_t = -t, so the average of t steps is sum d^(t-s) p_s / sum d^(t-s).
    loss = lambda w, context, x: (w, None)
    for steps in (1, 9):
        result = quadratic_fit(
            steps,
            params=jnp.float32(0),
            phases=Phase(loss, optax.sgd(1.0)),
            polyak=0.9,
        )
        weights = 0.9 ** np.arange(steps)[::-1]
        truth = -np.sum(weights * np.arange(1, steps + 1)) / weights.sum()
        np.testing.assert_allclose(result.averaged, truth, rtol=1e-5)
        assert float(result.params) == -steps


def test_early_stopping_keeps_the_best():
    # w goes 0, -1, -2, ...; the score is highest at w = -20.
    loss = lambda w, context, x: (w, None)
    keys = []

    def score(key, params, state):
        keys.append(tuple(np.asarray(jr.key_data(key))))
        return -((float(params) + 20) ** 2)

    result = quadratic_fit(
        1000,
        params=jnp.float32(0),
        phases=Phase(loss, optax.sgd(1.0)),
        validation=Validation(score, every=5, patience=3),
    )
    assert (result.step, result.stopped_early) == (35, True)
    assert result.best is not None
    assert (float(result.best.params), int(result.best.step)) == (-20, 20)
    assert len(set(keys)) == 1
    scores = [row["score"] for row in result.history if "score" in row]
    np.testing.assert_allclose(scores[:2], [-225, -100])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.bfloat16])
def test_compute_dtype(dtype):
    seen = []

    def loss(model, context, x):
        seen.append((model[0].layers[0].weight.dtype, x.dtype))
        return autoencoder(model, context, x)

    result = fit(
        **(settings() | {"phases": Phase(loss, optax.adam(3e-3))}),
        steps=40,
        compute_dtype=dtype,
        report_every=20,
    )
    assert set(seen) == {(jnp.dtype(dtype), jnp.dtype(dtype))}
    stored = jnp.promote_types(dtype, jnp.float32)
    assert result.params[0].layers[0].weight.dtype == stored
    assert result.train_state.optimisers[0][0].mu[0].layers[0].weight.dtype == stored
    assert result.history[-1]["loss"] < result.history[0]["loss"]


@pytest.mark.usefixtures("float32")
def test_float64_needs_x64():
    with pytest.raises(ValueError, match="jax_enable_x64"):
        quadratic_fit(compute_dtype=jnp.float64)


def test_clipping_and_rates_per_group_are_optax():
    loss = lambda p, context, x: (100 * p["a"] + 100 * p["b"], None)
    groups = {
        "clipped": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)),
        "free": optax.sgd(0.001),
    }
    optimiser = optax.partition(groups, {"a": "clipped", "b": "free"})
    start = {"a": jnp.float32(0), "b": jnp.float32(0)}
    result = quadratic_fit(10, params=start, phases=Phase(loss, optimiser))
    np.testing.assert_allclose(result.params["a"], -1, rtol=1e-5)
    np.testing.assert_allclose(result.params["b"], -1, rtol=1e-5)


def test_optimisers_that_look_at_the_loss():
    optimiser = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau())
    result = quadratic_fit(5, phases=Phase(quadratic, optimiser))
    assert np.isfinite(result.params).all()


def test_reports():
    seen = []
    quadratic_fit(25, report_every=10, on_report=lambda *row: seen.append(row))
    assert [step for step, _, _ in seen] == [10, 20, 25]
    assert all(rate > 0 for _, _, rate in seen)
    # The last report is of the five steps since the one before.
    one = quadratic_fit(25, report_every=1).history[20:]
    mean = np.mean([row["loss"] for row in one])
    np.testing.assert_allclose(seen[-1][1]["loss"], mean, rtol=1e-5)


@pytest.mark.parametrize(
    ("loop", "seeds"),
    [(CompiledLoop(10), None), (CompiledLoop(10), 2), (HostLoop(10), None)],
)
def test_bad_loss_is_named_and_the_last_good_kept(loop, seeds):
    def loss(p, context, x):
        shift = jnp.where(context.step == 13, -1.0, 1.0)
        value = jnp.log(shift * (1 + p["b"]["c"] ** 2))
        return quadratic(p["a"], context, x)[0] + jnp.sum(value), None

    start = {"a": START, "b": {"c": jnp.ones(2, jnp.float32)}}
    phases = [
        Phase(lambda p, c, x: (jnp.sum(p["a"] ** 2), None), optax.sgd(0.01)),
        Phase(loss, optax.sgd(0.01), name="evidence"),
    ]
    made = start if seeds is None else lambda key: start
    changes = dict(params=made, phases=phases, loop=loop, seeds=seeds)
    with pytest.raises(NonFiniteError) as error:
        quadratic_fit(**changes)
    assert (error.value.step, error.value.phase) == (13, "evidence")
    assert "step 13" in str(error.value)
    assert "nan" in str(error.value)
    good = quadratic_fit(13, **changes)
    assert digest(error.value.result.params) == digest(good.params)


def test_bad_gradient_names_its_parameter():
    # sqrt has an infinite derivative at 0, the loss is finite.
    def loss(p, context, x):
        return jnp.sqrt(p["scale"]) + jnp.sum(p["loc"] ** 2), None

    start = {"loc": START, "scale": jnp.float32(0)}
    with pytest.raises(NonFiniteError, match=r"\['scale'\]") as error:
        quadratic_fit(params=start, phases=Phase(loss, optax.sgd(0.1)))
    assert error.value.path == "['scale']"
    assert error.value.step == 0


def test_memory_is_checked_before_the_first_step():
    with pytest.raises(MemoryError, match="chunk=10"):
        quadratic_fit(memory_limit=16)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"key": jnp.zeros(2, jnp.uint32)}, TypeError, "typed key"),
        ({"batch_size": 104}, ValueError, "103 examples"),
        ({"batch_size": 0}, ValueError, "positive"),
        ({"data": np.zeros((0, 3))}, ValueError, "no examples"),
        ({"data": {"x": DATA, "y": DATA[:5]}}, ValueError, "same number"),
        ({"data": [1, 2, 3]}, TypeError, "pytree of arrays"),
        ({"phases": []}, TypeError, "Phase"),
        ({"phases": quadratic}, TypeError, "Phase"),
        ({"seeds": 2}, TypeError, "make"),
        ({"polyak": 1.0}, ValueError, "between 0 and 1"),
        ({"report_every": 0}, ValueError, "report_every"),
        ({"steps": -1}, ValueError, "steps"),
        ({"compute_dtype": jnp.int32}, TypeError, "floating"),
        ({"params": jnp.arange(3)}, ValueError, "nothing to train"),
    ],
)
def test_bad_input(changes, kind, words):
    with pytest.raises(kind, match=words):
        quadratic_fit(**changes)


def test_bad_losses():
    vector = lambda w, context, x: (w - x, None)
    alone = lambda w, context, x: jnp.sum(w - x)
    for loss, words in [(vector, "real scalar"), (alone, "scalar, aux")]:
        with pytest.raises(TypeError, match=words):
            quadratic_fit(phases=Phase(loss, optax.sgd(0.1)))
    grow = Phase(
        lambda w, context, x: (jnp.sum(w), None),
        optax.sgd(0.1),
        update=lambda state, aux: jnp.zeros(2),
    )
    with pytest.raises(ValueError, match="keep the shapes"):
        quadratic_fit(phases=grow, state=jnp.zeros(3))
    phase = Phase(autoencoder, optax.sgd(0.1), lambda leaf: leaf.ndim == 2)
    model = make_autoencoder(jr.key(0))
    with pytest.raises(TypeError, match="only"):
        quadratic_fit(params=model, phases=phase)


def test_frozen_leaves_do_not_move():
    model = make_autoencoder(jr.key(1))
    phase = Phase(autoencoder, optax.adam(1e-2), only(lambda m: m[0].layers[0]))
    result = quadratic_fit(5, params=model, phases=phase)
    moved = jax.tree.map(
        lambda a, b: bool(jnp.any(a != b)),
        *eqx.filter((model, result.params), eqx.is_array),
    )
    assert jax.tree.leaves(moved) == [True, True] + [False] * 6
