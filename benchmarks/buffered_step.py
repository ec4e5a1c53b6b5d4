"""One training step of buffered SVI: compile time, memory, and time, rows in turns.

    python benchmarks/buffered_step.py --budget quick --rounds 5

Memory is XLA's count of temporaries, times are seconds on the processor (all threads),
which other work on the machine disturbs less than the clock.
"""

import argparse
import time
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from taut.papers.buffered import PRESETS
from taut.papers.buffered.inference import BSVI, SVI, Amortised
from taut.papers.experiment import Splits
from taut.train import EXAMPLES, Context

SHAPE = (28, 28, 1)


def step_of(settings, batch):
    """key, model, images -> gradients."""
    (phase,) = settings.phases()
    state = settings.state()

    def step(key, model, xs):
        def mean(model):
            def one(key, x):
                return phase.loss(model, Context(key, key, jnp.int32(0), state), x)[0]

            keys = jr.split(key, batch)
            return jnp.mean(jax.vmap(one, axis_name=EXAMPLES)(keys, xs))

        return eqx.filter_grad(mean)(model)

    return step


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = {
        "VAE": Amortised(),
        "SVI, k = 9": SVI(9),
        "BSVI-SIR, k = 9": BSVI(9, indices=1),
        "BSVI-SIR, k = 3": BSVI(3, indices=1),
        "BSVI, k = 9": BSVI(9),
    }
    base = PRESETS[0].budgets[options.budget]
    zeros = np.zeros((1, *SHAPE), np.float32)
    splits = Splits(zeros, None, zeros, digest="none", mean=zeros[0])
    xs = jnp.asarray(np.random.default_rng(0).integers(0, 2, (options.batch, *SHAPE)))
    xs = xs.astype(jnp.float32)
    made = {}
    for name, inference in rows.items():
        settings = replace(base, inference=inference)
        make = lambda key, settings=settings: settings.make(key, splits)
        model = eqx.filter_jit(make)(jr.key(0))
        arrays, static = eqx.partition(model, eqx.is_array)
        step = step_of(settings, options.batch)
        run = lambda key, arrays, xs, step=step, static=static: eqx.filter(
            step(key, eqx.combine(arrays, static), xs), eqx.is_array
        )
        wall, processor = time.monotonic(), time.process_time()
        compiled = jax.jit(run).lower(jr.key(0), arrays, xs).compile()
        wall, processor = time.monotonic() - wall, time.process_time() - processor
        memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
        print(
            f"{name}: compiled in {processor:.1f} s of the processor ({wall:.1f} by "
            f"the clock), {memory:.0f} MiB",
            flush=True,
        )
        made[name] = lambda key, compiled=compiled, arrays=arrays: (
            jax.block_until_ready(compiled(key, arrays, xs))
        )
    times = {name: [] for name in made}
    for i in range(options.rounds + 1):
        for name, run in made.items():
            start = time.process_time()
            run(jr.key(i))
            if i:  # the first is for warming up
                times[name].append(time.process_time() - start)
    for name, found in times.items():
        low, middle, high = np.percentile(found, [25, 50, 75])
        print(f"{name}: {middle:.2f} s a step (quartiles {low:.2f}, {high:.2f})")
    ratio = np.array(times["BSVI-SIR, k = 9"]) / np.array(times["SVI, k = 9"])
    print(f"BSVI-SIR / SVI at k = 9: {np.median(ratio):.2f}")


if __name__ == "__main__":
    main()
