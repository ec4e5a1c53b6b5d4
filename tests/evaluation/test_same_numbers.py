"""Annealed evaluations give the same numbers in any blocks, chunks and devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from taut import HMC, Annealed, Bernoulli, Conditioned, Joint, Normal, StandardNormal
from taut.densities.conditional import Conditional
from taut.evaluation import AnnealedEnds, example_keys, gather
from taut.nn.networks import annealed_vae
from taut.papers.annealed.exact import linear_gaussian
from taut.schedules import linear


@pytest.mark.thorough
def test_blocks_and_chunks_in_float64():
    model = linear_gaussian(2)
    images = np.asarray(model.examples(jr.key(0), 6))

    def values(block, chunk):
        ends = AnnealedEnds(model.marginal, linear(20), 4, 3, 0.3, chunk=chunk)
        return gather(list(ends.lower(jr.key(1), images, block=block))).end.value

    whole = values(6, None)
    assert np.std(whole) > 0.1
    for block, chunk in ((1, None), (4, 3)):
        np.testing.assert_allclose(values(block, chunk), whole, rtol=0, atol=1e-9)


def test_eight_devices_in_float64():
    here = Path(__file__).parent
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run(
        [sys.executable, str(here / "devices.py")],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | flags | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["devices"] == 8
    assert told["size"] == 8
    assert max(told["data"], told["both"]) < 1e-9, told


@pytest.mark.thorough
def test_float32_decides_alike(float32):
    """Rounding differs with the shape of a batch: how often does a Metropolis test
    then decide otherwise, and does it move the mean?
    """
    size, chains, num = 40, 8, 20
    encoder, decoder = annealed_vae((28, 28), 50, key=jr.key(0))
    joint = Joint(StandardNormal((50,)), Conditional(decoder, Bernoulli))
    images = jr.bernoulli(jr.key(1), 0.3, (size, 28, 28)).astype(jnp.float32)

    def one(key, x):
        sampler = Annealed(Normal(*encoder(x)), HMC(0.3, 3), linear(num), chains)
        particles = sampler.run(key, Conditioned(joint, x))
        log_ratio = particles.diagnostics.log_ratio
        # A point that was kept has the very ratio of the one before.
        return particles.log_z, jnp.diff(log_ratio, axis=-1) != 0

    keys = example_keys(jr.key(2), 0, size)
    whole = jax.jit(jax.vmap(one))(keys, images)
    parts = jax.jit(lambda: jax.lax.map(lambda kx: one(*kx), (keys, images)))()
    differing = float(jnp.mean(whole[1] != parts[1]))
    apart = np.asarray(whole[0] - parts[0], float)
    error = apart.std(ddof=1) / np.sqrt(size)
    moved = float(jnp.mean(whole[1]))
    print(f"{differing:.2e} of {whole[1].size} decisions differ; the means by")
    print(f"{apart.mean():.2e} +- {error:.2e} nats; accepted {moved:.2f}")
    assert 0.3 < moved < 0.999
    assert differing < 2e-3
    assert abs(apart.mean()) < 5 * error + 1e-4
