"""Print the table of `docs/networks.md`: every network's input, output and size.

    python examples/network_sizes.py

Nothing is drawn or compiled: the constructors are only traced.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from taut.nn import conv_hvae, hierarchical, networks, proposals, residual
from taut.nn.constant import num_parameters
from taut.nn.pixelcnn import PixelCNN
from taut.nn.resnet_encoder import ResNetEncoder

IMAGE, WIDE = (28, 28, 1), (32, 32, 1)
MEAN = np.full(IMAGE, 0.5)


def rows() -> list[tuple[str, Callable, list[tuple[int, ...]]]]:
    """What it is, its constructor, the shapes it is called with."""
    hvae = partial(conv_hvae.conv_hvae, MEAN)
    return [
        ("toy energy", networks.toy_energy, [(2,)]),
        ("latent energy", networks.latent_energy, [(50,)]),
        ("pixel energy", partial(networks.pixel_energy, IMAGE, MEAN), [IMAGE]),
        ("convolutional energy", partial(conv_hvae.conv_energy, MEAN), [IMAGE]),
        ("momentum encoder", networks.momentum_encoder, [(50,)]),
        *pair("binary VAE", partial(networks.binary_vae, MEAN), 50),
        *pair("small VAE", partial(networks.small_vae, IMAGE), 10),
        *pair("large VAE", partial(networks.large_vae, IMAGE), 50),
        ("ConvHVAE q(z2 given x)", item(hvae, 0), [IMAGE]),
        ("ConvHVAE q(z1 given x, z2)", item(hvae, 1), [IMAGE, (50,)]),
        ("ConvHVAE p(z1 given z2)", item(hvae, 2), [(50,)]),
        ("ConvHVAE p(x given z1, z2)", item(hvae, 3), [(50,), (50,)]),
        *pair("AIS-trained VAE", partial(networks.annealed_vae, IMAGE), 50),
        *pair("Burda VAE", partial(networks.burda_vae, MEAN), 50),
        ("residual encoder", residual.ResidualEncoder, [IMAGE]),
        ("residual decoder", residual.ResidualDecoder, [(32,)]),
        ("root", hierarchical.Root, [(450,)]),
        *(
            (
                f"branches, K = {num}",
                partial(hierarchical.Branches, num),
                [(32,), (450,)],
            )
            for num in (1, 2, 5, 10)
        ),
        ("reverse, shared", hierarchical.Reverse, [(32,), (450,), ()]),
        *(
            (
                f"reverse, K = {num}",
                partial(hierarchical.Reverse, num),
                [(32,), (450,), ()],
            )
            for num in (2, 5, 10)
        ),
        ("BSVI encoder", partial(ResNetEncoder, IMAGE, 32), [IMAGE]),
        ("BSVI decoder", partial(PixelCNN, IMAGE, 32), [IMAGE, (32,)]),
        ("BSVI encoder, 32x32", partial(ResNetEncoder, WIDE, 64), [WIDE]),
        ("BSVI decoder, 32x32", partial(PixelCNN, WIDE, 64), [WIDE, (64,)]),
        ("toy root", partial(hierarchical.Root, 2, 1), [(1,)]),
        ("toy branches", partial(hierarchical.Branches, 3, 2, 1, 64), [(2,), (1,)]),
        ("toy reverse", partial(hierarchical.Reverse, 1, 2, 1, 64), [(2,), (1,), ()]),
        ("Markov transition", proposals.Transition, [(2,)]),
        ("learned weights", partial(proposals.LogWeights, 3), [(2,), (2,)]),
    ]


def item(build: Callable, index: int) -> Callable:
    return lambda *, key: build(key=key)[index]


def pair(name: str, build: Callable, latent: int):
    """An encoder and a decoder that one function makes."""
    yield f"{name}: encoder", item(build, 0), [IMAGE]
    yield f"{name}: decoder", item(build, 1), [(latent,)]


def traced(build: Callable, shapes: list[tuple[int, ...]]) -> tuple[str, int]:
    """The shapes a network returns and how many numbers it learns."""

    def call(key):
        network = build(key=key)
        inputs = [jnp.zeros(s, float if s else int) for s in shapes]
        if isinstance(network, ResNetEncoder):
            inputs.append(network.fresh_statistics())
        return network(*inputs), num_parameters(network)

    out, size = eqx.filter_eval_shape(call, jr.key(0))
    return ", ".join(show(leaf.shape) for leaf in jax.tree.leaves(out)), size


def show(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def main() -> None:
    print("| network | input | output | parameters |")
    print("|---|---|---|---:|")
    for name, build, shapes in rows():
        out, size = traced(build, shapes)
        given = ", ".join(show(s) if s else "j" for s in shapes)
        print(f"| {name} | {given} | {out} | {size:,} |")


if __name__ == "__main__":
    main()
