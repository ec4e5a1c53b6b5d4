import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from small_problems import (
    DATA,
    START,
    autoencoder,
    make_autoencoder,
    quadratic,
    quadratic_fit,
    settings,
)

from taut.train import Phase, Validation, fit


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
