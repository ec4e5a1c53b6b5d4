import errno
import json
import logging
import resource
import shutil
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from small_problems import DATA, digest, quadratic, settings

from taut import checkpoint
from taut.checkpoint import CheckpointError, Checkpoints
from taut.train import Phase, Validation, fit

TREE = {
    "weights": jnp.arange(6.0, dtype=jnp.float32).reshape(2, 3),
    "half": jnp.asarray([1.5, -2.25], jnp.bfloat16),
    "key": jr.key(7),
    "keys": jr.split(jr.key(8, impl="rbg"), 3),
    "count": jnp.int32(2**30 + 1),
    "number": jnp.float32(0.1),
    "empty": jnp.zeros((0, 4), jnp.float32),
    "bad": jnp.asarray([jnp.nan, -jnp.inf], jnp.float32),
    "function": jnp.tanh,
    "none": None,
}


def same_bits(one, other):
    def bits(leaf):
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jr.key_data(leaf) if key else leaf)

    for a, b in zip(*map(jax.tree.leaves, (one, other))):
        if eqx.is_array(a):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            assert bits(a).tobytes() == bits(b).tobytes()
        else:
            assert a is b


def blank(tree):
    clear = lambda a: jnp.zeros_like(a) if eqx.is_inexact_array(a) else a
    return jax.tree.map(clear, tree)


def test_round_trip(tmp_path):
    store = Checkpoints(tmp_path)
    assert store.restore(TREE) is None
    store.save(12, TREE)
    like = blank(TREE) | {"key": jr.key(0), "count": jnp.int32(0)}
    back = Checkpoints(tmp_path).restore(like)
    same_bits(TREE, back)
    assert jr.uniform(back["keys"][1]) == jr.uniform(TREE["keys"][1])


def test_keeps_the_last_and_the_best(tmp_path):
    store = Checkpoints(tmp_path, keep_last=2)
    tree = {"a": jnp.ones(2)}
    for step, score in [(1, 0.5), (2, 3.0), (3, None), (4, 1.0), (5, None)]:
        store.save(step, {"a": step * tree["a"]}, score)
    assert store.steps() == [2, 4, 5]
    assert store.best_step() == 2
    np.testing.assert_array_equal(store.restore(tree)["a"], [5, 5])
    np.testing.assert_array_equal(store.restore(tree, step=2)["a"], [2, 2])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "0000000002", "0000000004", "0000000005"
    ]  # fmt: skip


def test_damaged_later_ones_do_not_push_out_a_good_one(tmp_path):
    store = Checkpoints(tmp_path, keep_last=2)
    tree = {"a": jnp.ones(2)}
    store.save(1, tree, 1.0)
    for step in (5, 6):
        store.save(step, tree)
        (tmp_path / f"{step:010d}" / "manifest.json").write_text("[]")
    assert store.restore(tree) is not None  # of step 1
    store.save(2, tree)
    assert store.steps() == [1, 2]


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.unlink()])
@pytest.mark.parametrize("what", ["arrays", "manifest.json"])
def test_damaged_is_skipped_with_a_message(tmp_path, caplog, damage, what):
    store = Checkpoints(tmp_path)
    tree = {"a": jnp.arange(2000.0)}
    store.save(1, tree)
    store.save(2, {"a": 2 * tree["a"]})
    folder = tmp_path / "0000000002"
    path = folder / what
    if path.is_dir():
        path = max(
            (p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
        )
    if damage is flip and what == "manifest.json":
        damage = lambda path: path.write_bytes(b"\xff" + path.read_bytes())
    damage(path)
    with caplog.at_level(logging.WARNING, "taut"):
        back = store.restore(tree)
    np.testing.assert_array_equal(back["a"], tree["a"])
    assert "step 2" in caplog.text
    assert "damaged" in caplog.text
    # Training goes over step 2 again and replaces it.
    store.save(2, {"a": 3 * tree["a"]})
    np.testing.assert_array_equal(store.restore(tree)["a"], 3 * tree["a"])


def test_partial_is_not_a_checkpoint(tmp_path):
    store = Checkpoints(tmp_path)
    tree = {"a": jnp.ones(3)}
    store.save(1, tree)
    shutil.copytree(tmp_path / "0000000001", tmp_path / ".partial-2")
    assert store.steps() == [1]
    np.testing.assert_array_equal(store.restore(tree)["a"], tree["a"])
    store.save(3, tree)
    assert not (tmp_path / ".partial-2").exists()


def test_nothing_good_left_is_an_error(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(1, TREE)
    (tmp_path / "0000000001" / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="start from the beginning"):
        store.restore(TREE)


def test_another_model_is_refused(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(1, TREE)
    with pytest.raises(ValueError, match=r"\['weights'\]: float32\[2, 3\] there"):
        store.restore(TREE | {"weights": jnp.zeros((2, 4), jnp.float32)})
    with pytest.raises(ValueError, match=r"\['extra'\]: absent there"):
        store.restore(TREE | {"extra": jnp.zeros(1)})


def test_another_format_is_refused(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(1, TREE)
    path = tmp_path / "0000000001" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(CheckpointError, match="format 99"):
        store.restore(TREE)


def test_full_disk_leaves_earlier_checkpoints(tmp_path, monkeypatch):
    store = Checkpoints(tmp_path)
    options = settings() | {"checkpoints": store}
    fit(**options, steps=10)

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_flush", full)
        with pytest.raises(CheckpointError, match="No space left") as error:
            fit(**options, steps=20)
    assert "last checkpoint is of step 10" in str(error.value)
    assert "free some space" in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["0000000010"]
    resumed, straight = fit(**options, steps=20), fit(**settings(), steps=20)
    assert digest(resumed.params) == digest(straight.params)


FULL = """
import resource, sys
import jax.numpy as jnp
from taut.checkpoint import CheckpointError, Checkpoints
store = Checkpoints(sys.argv[1])
store.save(1, {"a": jnp.ones(10)})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    store.save(2, {"a": jnp.arange(500_000.0)})
except CheckpointError as error:
    print("refused:", error)
print(store.steps(), store.restore({"a": jnp.zeros(10)})["a"])
"""


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file-size limit")
def test_writes_refused_by_the_system(tmp_path):
    # The operating system itself stops the writes, inside Orbax's own code.
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "refused: The checkpoint of step 2 could not be written" in done.stdout
    assert "[1] [1. 1." in done.stdout


def test_resumed_by_fit_bit_for_bit(tmp_path):
    # With everything that has a memory: Polyak, state, validation, sums of metrics.
    def run(steps, store=None):
        update = lambda state, aux: state + aux["d"]
        return fit(
            jr.key(0),
            jnp.zeros(3, jnp.float32),
            Phase(quadratic, optax.adam(0.1), update=update),
            DATA,
            steps=steps,
            batch_size=10,
            state=jnp.zeros(3, jnp.float32),
            polyak=0.9,
            validation=Validation(lambda key, p, state: -jnp.sum(p**2), every=6),
            report_every=10,
            checkpoints=store,
            save_every=7,
        )

    store = Checkpoints(tmp_path, keep_last=9)
    straight = run(40)
    first = run(26, store)
    assert first.step == 26
    # As after a kill: what was saved last is step 21.
    shutil.rmtree(tmp_path / "0000000026")
    resumed = run(40, store)
    strip = lambda state: eqx.tree_at(lambda s: s.key, state, None)
    same_bits(strip(straight.train_state), strip(resumed.train_state))
    assert straight.history[-2:] == resumed.history[-2:]
    # Without further steps, what there is is given back.
    again = run(0, store)
    same_bits(strip(again.train_state), strip(resumed.train_state))


def test_another_seed_is_refused(tmp_path):
    options = settings() | {"checkpoints": Checkpoints(tmp_path), "steps": 2}
    fit(**options)
    with pytest.raises(ValueError, match="another key"):
        fit(**(options | {"key": jr.key(99)}))
