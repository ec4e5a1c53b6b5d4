import os
import signal

import jax.numpy as jnp
import pytest
from small_problems import digest, settings

from taut.checkpoint import Checkpoints
from taut.train import Interrupted, fit


def test_ctrl_c_finishes_the_chunk_saves_and_raises(tmp_path):
    def ask(step, metrics, rate):
        if step == 20:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    options = settings() | {"report_every": 10, "steps": 60}
    store = Checkpoints(tmp_path)
    with pytest.raises(Interrupted, match="after step 20 of 60") as stop:
        fit(**options, on_report=ask, checkpoints=store)
    assert signal.getsignal(signal.SIGINT) is before
    assert stop.value.result.step == 20
    assert store.steps() == [20]
    assert isinstance(stop.value, KeyboardInterrupt)
    assert jnp.all(jnp.isfinite(stop.value.result.params[0].layers[0].weight))
    resumed = fit(**options, checkpoints=store)
    assert digest(resumed.params) == digest(fit(**options).params)
