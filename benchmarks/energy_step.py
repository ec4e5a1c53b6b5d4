"""What one training step costs under each prior of the energy-inspired VAE.

    python benchmarks/energy_step.py --batch 128

Compiles the step (gradients and Adam) of every row and prints XLA's count of floating-
point operations, which sees the body of a loop once, and the multiplications of all
matrix products with loops multiplied out, each beside that of the Gaussian prior.
"""

import argparse

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from buffered_step import products

from taut.papers.energy_inspired import PRESETS
from taut.papers.experiment import Splits
from taut.train import Context

ROWS = ("vae", "vae-snis", "vae-trs", "vae-his", "vae-lars")
SHAPE = (28, 28)


def compiled_step(settings, batch):
    """One step on a batch: draws of the proposals are shared by all of it."""
    (phase,) = settings.phases()
    zeros = np.zeros((1, *SHAPE), np.float32)
    splits = Splits(zeros, None, zeros, digest="none", mean=zeros[0])
    model = settings.make(jr.key(0), splits)
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    optimiser, state = phase.optimiser.init(arrays), settings.state()

    def step(key, arrays, optimiser, xs):
        skey, ekey = jr.split(key)

        def mean(arrays):
            model = eqx.combine(arrays, static)

            def one(key, x):
                context = Context(key, skey, jnp.int32(0), state)
                return phase.loss(model, context, x)[0]

            return jnp.mean(jax.vmap(one)(jr.split(ekey, batch), xs))

        updates, new = phase.optimiser.update(jax.grad(mean)(arrays), optimiser, arrays)
        return optax.apply_updates(arrays, updates), new

    xs = jnp.zeros((batch, *SHAPE))
    return jax.jit(step).lower(jr.key(0), arrays, optimiser, xs).compile()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    by_name = {preset.name: preset for preset in PRESETS}
    first = None
    for row in ROWS:
        settings = by_name[f"static-mnist-{row}"].budgets["full"]
        step = compiled_step(settings, options.batch)
        flops, count = step.cost_analysis()["flops"], products(step.as_text(), 0)[0]
        first = first or (flops, count)
        print(
            f"{row}: {flops / 1e9:.3f} GFLOP ({flops / first[0]:.2f} of the first), "
            f"{count / 1e9:.3f} G products ({count / first[1]:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
