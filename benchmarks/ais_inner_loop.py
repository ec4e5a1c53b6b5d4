"""Time AIS through a Bernoulli decoder, 784-200-200-50, as in training.

Every image has `--chains` chains of `--temperatures` points (one transition less), five
leapfrog steps each. The floor is the matrix products of as many decoder gradients.

    python benchmarks/ais_inner_loop.py --images 100 --chains 5 --temperatures 11
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

import taut
from taut import schedules
from taut.nn.mlp import MLP

LATENT, HIDDEN, PIXELS, LEAPFROGS = 50, 200, 784, 5


class Decoder(eqx.Module):
    """z -> Bernoulli pixels."""

    net: MLP

    def __call__(self, z):
        return taut.Bernoulli(self.net(z))


def annealing(decoder, images, chains, temperatures):
    """key -> log evidence of every image."""
    prior = taut.StandardNormal((LATENT,))
    guide = taut.Normal(jnp.zeros(LATENT), jnp.zeros(LATENT))
    betas = schedules.linear(temperatures - 1)
    sampler = taut.Annealed(guide, taut.HMC(0.1, LEAPFROGS), betas, chains)

    def one(key, x):
        joint = taut.Joint(prior, decoder)
        return sampler.run(key, taut.Conditioned(joint, x)).log_z

    return lambda key: jax.vmap(one)(jr.split(key, len(images)), images)


def products(decoder, rows, times):
    """The same number of decoder products, forwards and back, and nothing else."""
    weights = [layer.weight for layer in decoder.net.chain.layers]

    def step(z, _):
        h = z
        for weight in weights:
            h = h @ weight.T
        for weight in reversed(weights):
            h = h @ weight
        return h * 1e-3, None

    return lambda key: jax.lax.scan(step, jr.normal(key, (rows, LATENT)), length=times)[
        0
    ]


def seconds(function, repeats):
    """The best of `repeats` runs of the compiled function."""
    run = jax.jit(function)
    jax.block_until_ready(run(jr.key(0)))
    times = []
    for i in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(jr.key(i)))
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--chains", type=int, default=5)
    parser.add_argument("--temperatures", type=int, default=11)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    key = jr.key(0)
    decoder = Decoder(MLP((LATENT, HIDDEN, HIDDEN, PIXELS), key=key))
    images = jr.bernoulli(key, 0.2, (args.images, PIXELS)).astype(float)
    moves = args.temperatures - 1
    gradients = moves * LEAPFROGS + 1
    ais = annealing(decoder, images, args.chains, args.temperatures)
    floor = products(decoder, args.images * args.chains, gradients)
    print(f"{jax.default_backend()}, jax {jax.__version__}, {args}")
    for name, function in (("AIS", ais), ("matrix products", floor)):
        spent = seconds(function, args.repeats)
        print(
            f"{name}: {1e3 * spent / args.images:.2f} ms an image, "
            f"{1e3 * spent / gradients:.1f} ms a gradient of all chains"
        )


if __name__ == "__main__":
    main()
