"""Time a step of gated convolutions outside and inside `lax.scan`, in all forms.

Six gated 3x3 convolutions, 32 channels, on 28x28 images, float32; one step is a
gradient, by the weights or by the image alone (what SVI, AIS and HIS loops need).

    python benchmarks/conv_in_loop.py --batch 50 --steps 2
"""

import argparse
import time

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from taut.nn import conv

LAYERS, CHANNELS, SIDE = 6, 32, 28
FORMS = {
    "XLA's convolution": conv.by_xla,
    "columns": conv.by_columns,
    "one layout": conv.by_layout,
}


def network(form, weights, x):
    """The sum of the last map: layer by layer tanh(a) * sigmoid(b), with a skip."""
    for weight in weights:
        a, b = jnp.split(form(x, weight, (1, 1), ((1, 1), (1, 1))), 2, axis=-1)
        x = x + jnp.tanh(a) * jax.nn.sigmoid(b)
    return jnp.sum(x)


def descend(form, by_image):
    """One gradient step of the batch mean: (weights, images) -> (weights, images)."""

    def loss(weights, images):
        return jnp.mean(jax.vmap(lambda x: network(form, weights, x))(images))

    def step(carry):
        weights, images = carry
        if by_image:
            return weights, images - 1e-3 * jax.grad(loss, 1)(weights, images)
        return weights - 1e-3 * jax.grad(loss)(weights, images), images

    return step


def repeated(step, length):
    """`step` in a `lax.scan`; at least two long, or XLA takes the loop away."""

    def body(carry, _):
        return step(carry), None

    return lambda carry: jax.lax.scan(body, carry, length=length)[0]


def seconds(function, carry, repeats):
    """The best of `repeats` runs of the compiled function: by the clock, of the CPU."""
    compiled = jax.jit(function).lower(carry).compile()
    clock, cpu = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        jax.block_until_ready(compiled(carry))
        clock.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return np.array([min(clock), min(cpu)])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--steps", type=int, default=2, help="steps in the scan")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--forms", nargs="*", default=list(FORMS), choices=FORMS)
    args = parser.parse_args()
    key = jr.key(0)
    weights = jr.normal(key, (LAYERS, 3, 3, CHANNELS, 2 * CHANNELS)) / 17
    images = jr.normal(jr.fold_in(key, 1), (args.batch, SIDE, SIDE, CHANNELS))
    print(f"{jax.default_backend()}, jax {jax.__version__}, batch {args.batch}")
    for name, form in ((name, FORMS[name]) for name in args.forms):
        for by_image in (False, True):
            step = descend(form, by_image)
            outside = seconds(step, (weights, images), args.repeats)
            loop = repeated(step, args.steps)
            inside = seconds(loop, (weights, images), 1) / args.steps
            slope = "image" if by_image else "weights"
            print(f"{name}; gradient by {slope}; seconds by the clock, of the CPU:")
            print(
                f"  outside {outside.round(2)}, in scan {inside.round(2)}", flush=True
            )


if __name__ == "__main__":
    main()
