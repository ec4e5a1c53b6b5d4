"""One training step of buffered SVI: compile time, memory, cost and time.

    python benchmarks/buffered_step.py --network quick --steps 5 9 27
    python benchmarks/buffered_step.py --network quick --rounds 9
    python benchmarks/buffered_step.py --network full --dataset svhn --compile
    python benchmarks/buffered_step.py --network full --compile semi-amortised

The first prints what the compiler made of a step for several k: temporaries, and the
multiplications of its matrix products and convolutions, loops multiplied out by the
trip counts that the compiler knows: apart for the loop of k trips (the steps of SVI)
and all the rest (the passes, forward and back, through the decoder that is trained; k
is to be no trip count of another loop, so 5 or more). The second times rows in turns
(alone on the machine, please), the others compile the first step of every row, or of
those named.
"""

import argparse
import math
import os
import re
import time
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from taut.papers.buffered import PRESETS
from taut.papers.buffered.inference import BSVI, SVI, Amortised
from taut.papers.experiment import Splits
from taut.train import EXAMPLES, Context

SHAPES = {"omniglot": (28, 28, 1), "fashion-mnist": (28, 28, 1), "svhn": (32, 32, 1)}


def step_of(settings, shape, batch):
    """The compiled step (gradients, optimiser, statistics), its arguments, seconds."""
    (phase,) = settings.phases()
    zeros = np.zeros((1, *shape), np.float32)
    splits = Splits(zeros, None, zeros, digest="none", mean=zeros[0])
    model = eqx.filter_jit(lambda key: settings.make(key, splits))(jr.key(0))
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    begin = phase.optimiser.init(arrays), settings.state()

    def step(key, arrays, optimiser, state, xs):
        def mean(arrays):
            model = eqx.combine(arrays, static)

            def one(key, x):
                return phase.loss(model, Context(key, key, jnp.int32(0), state), x)

            keys = jr.split(key, batch)
            losses, aux = jax.vmap(one, axis_name=EXAMPLES)(keys, xs)
            return jnp.mean(losses), jax.tree.map(lambda a: jnp.mean(a, 0), aux)

        (_, aux), slope = jax.value_and_grad(mean, has_aux=True)(arrays)
        updates, optimiser = phase.optimiser.update(slope, optimiser, arrays)
        state = phase.update(state, aux)
        return optax.apply_updates(arrays, updates), optimiser, state

    levels = int(settings.pixels.unit) + 1
    images = np.random.default_rng(0).integers(0, levels, (batch, *shape))
    xs = jnp.asarray(images.astype(np.float32))
    wall, processor = time.monotonic(), time.process_time()
    compiled = jax.jit(step).lower(jr.key(0), arrays, *begin, xs).compile()
    took = time.monotonic() - wall, time.process_time() - processor
    return compiled, lambda key: compiled(key, arrays, *begin, xs), took


def multiplications(line, shapes):
    """Of a matrix product or a convolution; none of anything else."""
    made = re.search(r"= \w+\[([\d,]*)\]\S* (dot|convolution)\((.*?)\), ", line)
    if not made:
        return 0
    left, right = (shapes[name] for name in re.findall(r"%([\w.\-]+)", made[3]))
    if made[2] == "dot":
        axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", line)[1]
        over = math.prod(left[axis] for axis in numbers(axes))
    else:  # at every output a product with one of the kernels
        labels = re.search(r"dim_labels=\w+_(\w+)->", line)[1]
        over = math.prod(right) // right[labels.index("o")]
    return over * math.prod(numbers(made[1]))


def numbers(text):
    return [int(number) for number in text.split(",") if number]


def products(text, k):
    """Multiplications in matrix products and convolutions of a compiled program:
    outside and inside of its loops of `k` trips, all loops multiplied out; and how many
    loops of `k` trips there are that multiply.
    """
    lines, entry, name = {}, None, None
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
        if head:
            name = head[2]
            lines[name] = []
            entry = name if head[1] else entry
        elif name:
            lines[name].append(line)

    def count(name):
        outside, inside, loops = 0, 0, 0
        made = (
            re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = \w+\[([\d,]*)\]", line)
            for line in lines[name]
        )
        shapes = {found[1]: numbers(found[2]) for found in made if found}
        for line in lines[name]:
            outside += multiplications(line, shapes)
            for inner in re.findall(r"(?:calls|to_apply)=%?([\w.\-]+)", line):
                a, b, n = count(inner)
                outside, inside, loops = outside + a, inside + b, loops + n
            body = re.search(r" while\(.*body=%?([\w.\-]+)", line)
            if body:
                trips = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
                times = int(trips[1]) if trips else 1
                a, b, n = (times * number for number in count(body[1]))
                if times == k and a + b:
                    a, b, n = 0, a + b, n + 1
                outside, inside, loops = outside + a, inside + b, loops + n
        return outside, inside, loops

    return count(entry)


def settings_of(options):
    name = f"buffered-{options.dataset}-vae"
    (preset,) = [preset for preset in PRESETS if preset.name == name]
    return preset.budgets[options.network]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", default="quick", help="a budget's")
    parser.add_argument("--dataset", default="omniglot", choices=SHAPES)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--steps", type=int, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--compile", nargs="*", help="rows (all without a name)")
    options = parser.parse_args()
    base, shape = settings_of(options), SHAPES[options.dataset]
    make = lambda inference: step_of(
        replace(base, inference=inference), shape, options.batch
    )
    for row, inference in {
        "SVI": lambda k: SVI(k),
        "BSVI-SIR": lambda k: BSVI(k, indices=1),
        "BSVI": lambda k: BSVI(k),
    }.items():
        for k in options.steps:
            compiled, _, (wall, processor) = make(inference(k))
            memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
            out, inside, loops = products(compiled.as_text(), k)
            print(
                f"{row}, k = {k}: {memory:.1f} MiB; {inside / 1e9:.4f} G products in "
                f"{loops} loop of k trips, {out / 1e9:.4f} G in the rest; compiled in "
                f"{processor:.1f} s of the processor, {wall:.1f} by the clock",
                flush=True,
            )
    if options.compile is not None:
        compile_rows(options, shape)
    if options.rounds:
        timed(options, make)


def compile_rows(options, shape):
    """The first step of rows of this data set."""
    start = f"buffered-{options.dataset}-"
    for preset in PRESETS:
        row = preset.name.removeprefix(start)
        if row in (options.compile or [row]) and preset.name.startswith(start):
            settings = preset.budgets[options.network]
            compiled, _, (wall, processor) = step_of(settings, shape, options.batch)
            memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
            print(
                f"{preset.name}: {processor:.1f} s of the processor, {wall:.1f} by the "
                f"clock, {memory:.0f} MiB",
                flush=True,
            )


def timed(options, make):
    """Seconds a step, rows in turns."""
    rows = {
        "VAE": Amortised(),
        "SVI, k = 9": SVI(9),
        "BSVI-SIR, k = 9": BSVI(9, indices=1),
        "BSVI, k = 9": BSVI(9),
    }
    runs = {name: make(inference)[1] for name, inference in rows.items()}
    times = {name: [] for name in rows}
    for i in range(options.rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter(), time.process_time()
            jax.block_until_ready(run(jr.key(i)))
            if i:  # the first is for warming up
                took = time.perf_counter() - start[0], time.process_time() - start[1]
                times[name].append(took)
    quartiles = lambda found: np.percentile(found, [25, 50, 75])
    print(f"load: {os.getloadavg()[0]:.1f}")
    for j, clock in enumerate(("by the clock", "of the processor")):
        seconds = {name: np.array(found)[:, j] for name, found in times.items()}
        for name, found in seconds.items():
            low, middle, high = quartiles(found)
            print(f"{name}: {middle:.3f} s {clock} ({low:.3f}, {high:.3f})")
        low, middle, high = quartiles(
            seconds["BSVI-SIR, k = 9"] / seconds["SVI, k = 9"]
        )
        print(f"BSVI-SIR / SVI, {clock}: {middle:.3f} ({low:.3f}, {high:.3f})")


if __name__ == "__main__":
    main()
