import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from small_problems import (
    DATA,
    START,
    autoencoder,
    digest,
    make_autoencoder,
    quadratic,
    quadratic_fit,
    settings,
)

from taut.train import (
    CompiledLoop,
    HostLoop,
    Phase,
    fit,
    only,
)


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


def test_frozen_leaves_do_not_move():
    model = make_autoencoder(jr.key(1))
    phase = Phase(autoencoder, optax.adam(1e-2), only(lambda m: m[0].layers[0]))
    result = quadratic_fit(5, params=model, phases=phase)
    moved = jax.tree.map(
        lambda a, b: bool(jnp.any(a != b)),
        *eqx.filter((model, result.params), eqx.is_array),
    )
    assert jax.tree.leaves(moved) == [True, True] + [False] * 6
