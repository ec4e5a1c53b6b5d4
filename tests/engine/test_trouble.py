import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from small_problems import (
    DATA,
    START,
    autoencoder,
    digest,
    make_autoencoder,
    quadratic,
    quadratic_fit,
)

from taut.train import CompiledLoop, HostLoop, NonFiniteError, Phase


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
