"""Time ancestral sampling from the PixelCNN: maps kept, against a full pass per pixel.

A batch of binary 28x28 images from the twelve-layer decoder (744,801 parameters, as
begun, float32). The naive sampler is timed over its first pixels and the figure
is multiplied out, for every pixel costs the same full pass.

    python benchmarks/pixelcnn_sampling.py --batch 64 --pixels 10
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from taut.nn.pixelcnn import PixelCNN
from taut.nn.pixelcnn_sampling import ancestral, ancestral_by_full_passes

SHAPE, LATENT = (28, 28, 1), 32


def coin(key, logits):
    return jr.bernoulli(key, jax.nn.sigmoid(logits)).astype(logits.dtype)


def some_pixels(key, network, z, num):
    """The naive sampler's first `num` pixels."""

    def draw(i, image):
        r, c = i // SHAPE[1], i % SHAPE[1]
        pixel = coin(jr.fold_in(key, i), network(image, z)[r, c])
        return image.at[r, c].set(pixel)

    return jax.lax.fori_loop(0, num, draw, jnp.zeros(SHAPE))


def seconds(function, *args, repeats=1):
    start = time.perf_counter()
    compiled = eqx.filter_jit(function).lower(*args).compile()
    compiling = time.perf_counter() - start
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        out = jax.block_until_ready(compiled(*args))
        times.append(time.perf_counter() - start)
    return out, compiling, min(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--pixels", type=int, default=10, help="0: all, to the end")
    args = parser.parse_args()
    network = PixelCNN(SHAPE, LATENT, key=jr.key(0))
    keys = jr.split(jr.key(1), args.batch)
    zs = jr.normal(jr.key(2), (args.batch, LATENT))
    print(f"{jax.default_backend()}, jax {jax.__version__}, {args.batch} images")

    def fast(network, keys, zs):
        return jax.vmap(lambda key, z: ancestral(key, network, z, coin))(keys, zs)

    def naive(network, keys, zs):
        if args.pixels == 0:
            one = lambda key, z: ancestral_by_full_passes(key, network, z, coin)
        else:
            one = lambda key, z: some_pixels(key, network, z, args.pixels)
        return jax.vmap(one)(keys, zs)

    ours, compiling, quick = seconds(fast, network, keys, zs, repeats=3)
    print(f"maps kept: compile {compiling:.1f} s, {quick:.2f} s")
    theirs, compiling, slow = seconds(naive, network, keys, zs)
    num = args.pixels or SHAPE[0] * SHAPE[1]
    whole = slow * SHAPE[0] * SHAPE[1] / num
    print(
        f"full passes: compile {compiling:.1f} s, {slow:.2f} s for {num} pixels, "
        f"{whole:.0f} s for all: {whole / quick:.0f} times as long"
    )
    flat = lambda x: x.reshape(args.batch, -1)[:, :num]
    agree = jnp.mean(flat(ours) == flat(theirs))
    print(f"these pixels agree: {agree:.6f}")


if __name__ == "__main__":
    main()
