"""Every network of the energy, annealed and hierarchical papers: sizes and sanity."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from taut.nn import hierarchical, networks
from taut.nn.constant import num_parameters, trainable
from taut.nn.conv_hvae import conv_energy, conv_hvae
from taut.nn.heads import BernoulliDecoder, Energy, clamped_log_scale
from taut.nn.mlp import MLP, linear
from taut.nn.proposals import LogWeights, Transition
from taut.nn.residual import ResidualDecoder, ResidualEncoder

IMAGE = (28, 28, 1)
CELEBA = (64, 64, 3)
MEAN = jnp.linspace(0.0, 0.9, 784).reshape(IMAGE)
LATENT, CONTEXT, Z = (50,), (450,), (32,)
PAIR = lambda *shape: (shape, shape)


def part(build, index):
    return lambda **kwargs: build(**kwargs)[index]


def vae(build, *args):
    both = functools.partial(build, *args)
    return part(both, 0), part(both, 1)


binary = vae(networks.binary_vae, MEAN)
small = vae(networks.small_vae, IMAGE)
large = vae(networks.large_vae, IMAGE)
faces = vae(networks.small_vae, CELEBA)
annealed = vae(networks.annealed_vae, IMAGE)
burda = vae(networks.burda_vae, MEAN)
hvae = functools.partial(conv_hvae, MEAN)
H = hierarchical

# name: (build, input shapes, output shape or shapes, parameters as in the fact sheets)
NETWORKS = {
    "toy energy": (networks.toy_energy, [(2,)], (), 501),
    "latent energy": (networks.latent_energy, [LATENT], (), 15_301),
    "pixel energy": (
        functools.partial(networks.pixel_energy, IMAGE, MEAN),
        [IMAGE],
        (),
        88_701,
    ),
    # 84,676 of q(z2|x), with a head of 512 + 1 in place of its 512 * 100 + 100
    "conv energy": (functools.partial(conv_energy, MEAN), [IMAGE], (), 33_889),
    "binary encoder": (binary[0], [IMAGE], PAIR(50), 355_900),
    "binary decoder": (binary[1], [LATENT], IMAGE, 341_584),
    "momentum encoder": (networks.momentum_encoder, [LATENT], PAIR(50), 135_700),
    # 33,588 together, with 784 scales
    "small encoder": (small[0], [IMAGE], PAIR(10), 16_120),
    "small decoder": (small[1], [(10,)], PAIR(*IMAGE), 17_468),
    "large encoder": (large[0], [IMAGE], PAIR(50), 355_900),
    "large decoder": (large[1], [LATENT], PAIR(*IMAGE), 342_368),
    "CelebA encoder": (faces[0], [CELEBA], PAIR(10), 12_288 * 20 + 20 + 420),
    "CelebA decoder": (faces[1], [(10,)], PAIR(*CELEBA), 220 + 22 * 12_288),
    "annealed encoder": (annealed[0], [IMAGE], PAIR(50), 217_300),
    "annealed decoder": (annealed[1], [LATENT], IMAGE, 207_984),
    "Burda encoder": (burda[0], [IMAGE], PAIR(50), 217_300),
    "Burda decoder": (burda[1], [LATENT], IMAGE, 207_984),
    "ConvHVAE q(z2|x)": (part(hvae, 0), [IMAGE], PAIR(50), 84_676),
    "ConvHVAE q(z1|x,z2)": (part(hvae, 1), [IMAGE, LATENT], PAIR(50), 397_088),
    "ConvHVAE p(z1|z2)": (part(hvae, 2), [LATENT], PAIR(50), 135_700),
    "ConvHVAE p(x|z1,z2)": (part(hvae, 3), [LATENT, LATENT], IMAGE, 371_657),
    "residual encoder": (ResidualEncoder, [IMAGE], CONTEXT, 750_000),
    "residual decoder": (ResidualDecoder, [Z], IMAGE, 1_034_623),
    "root": (H.Root, [CONTEXT], PAIR(32), 60_032),
    "branches, K = 2": (
        functools.partial(H.Branches, 2),
        [Z, CONTEXT],
        PAIR(2, 32),
        1_853_312 - 60_032 + 2 * 210_496,
    ),
    "branches, K = 5": (
        functools.partial(H.Branches, 5),
        [Z, CONTEXT],
        PAIR(5, 32),
        2_905_792 - 60_032,
    ),
    "reverse, shared": (H.Reverse, [Z, CONTEXT, ()], PAIR(32), 2_207_176),
    "reverse, K = 5": (
        functools.partial(H.Reverse, 5),
        [Z, CONTEXT, ()],
        PAIR(32),
        3_020_776,
    ),
    "toy branches": (
        functools.partial(H.Branches, 3, 2, 1, 64),
        [(2,), (1,)],
        PAIR(3, 2),
        (128 + 256) + 2 * (64 * 6 + 24) + (12 + 24),
    ),
    "Markov transition": (Transition, [(2,)], PAIR(2), (128 + 128) + 3 * (128 + 4)),
    "learned weights": (
        functools.partial(LogWeights, 3),
        [(2,), (2,)],
        (3,),
        5 * 64 + 65 * 3,
    ),
}
# compiling costs seconds each; these differ from another in size alone
SAME = {
    *("large encoder", "large decoder", "CelebA encoder", "CelebA decoder"),
    *("momentum encoder", "Burda encoder", "Burda decoder", "conv energy"),
    *("branches, K = 2", "branches, K = 5", "reverse, shared"),
}
QUICK = [name for name in NETWORKS if name not in SAME]
KEY = jr.key(7, impl="rbg")  # draws that compile quickly


def shape_of(function, *args):
    """Trace without compiling: integers come back as they are."""
    return eqx.filter_eval_shape(function, *args)


def count(*names):
    one = lambda key, name: num_parameters(NETWORKS[name][0](key=key))
    return sum(shape_of(one, KEY, name) for name in names)


def begun(name, part):
    """A part of a network as it starts; what it does not need is not compiled."""
    return eqx.filter_jit(lambda key: part(NETWORKS[name][0](key=key)))(KEY)


def inputs(name, normal, *batch):
    index = jnp.zeros(batch, int)
    return [normal(*batch, *s) if s else index for s in NETWORKS[name][1]]


@pytest.mark.parametrize("name", NETWORKS)
def test_has_the_parameters_of_the_sheet(name):
    assert count(name) == NETWORKS[name][3]


@pytest.mark.parametrize("name", NETWORKS)
def test_returns_the_shapes_of_the_sheet(name, normal):
    call = lambda key: NETWORKS[name][0](key=key)(*inputs(name, normal))
    shapes = jax.tree.map(lambda leaf: leaf.shape, shape_of(call, KEY))
    assert shapes == NETWORKS[name][2]


@pytest.mark.parametrize("name", QUICK)
def test_vmap_equals_loop_and_gradients_are_finite(name, filled, normal):
    network, batch = filled(NETWORKS[name][0]), inputs(name, normal, 3)

    def loss(network):
        out = jax.vmap(network)(*batch)
        return sum(jnp.sum(leaf**2 + leaf) for leaf in jax.tree.leaves(out)), out

    @eqx.filter_jit
    def both(network):
        grads, out = eqx.filter_grad(loss, has_aux=True)(network)
        return grads, out, jax.lax.map(lambda row: network(*row), batch)

    grads, out, loop = both(network)
    for one, other in zip(jax.tree.leaves(out), jax.tree.leaves(loop)):
        assert jnp.allclose(one, other, rtol=1e-9, atol=1e-10)
    learned, fixed = eqx.partition(grads, trainable(network))
    # every parameter matters: no gradient is zero throughout, or infinite, or NaN
    for leaf in map(np.asarray, jax.tree.leaves(learned)):
        assert np.all(np.isfinite(leaf))
        assert np.any(leaf != 0)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(fixed))


@pytest.mark.parametrize("name", ["small encoder", "small decoder"])
def test_extreme_inputs_keep_float32_gradients_finite(name, float32, filled, normal):
    network, given = filled(NETWORKS[name][0]), inputs(name, normal)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def both(network):
        out = network(*(1e4 * x for x in given))
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(out))

    value, grads = both(network)
    assert value.dtype == jnp.float32
    assert jnp.isfinite(value)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(grads))


def test_totals_of_the_sheets():
    assert count("binary encoder", "binary decoder") == 697_484
    assert count("small encoder", "small decoder") == 33_588
    assert count("annealed encoder", "annealed decoder") == 425_284
    whole = shape_of(lambda key: num_parameters(conv_hvae(MEAN, key=key)), KEY)
    assert whole == 989_121
    ends = ("residual encoder", "residual decoder", "root")
    assert count(*ends) == 1_844_655
    assert count(*ends, "branches, K = 5", "reverse, shared") == 6_897_591
    assert count(*ends, "branches, K = 5", "reverse, K = 5") == 7_711_191
    # the energy, 50 step sizes, 5 temperatures, the momentum network
    assert count("latent energy", "momentum encoder") + 55 == 151_056


def test_centred_networks_see_the_image_less_its_mean(filled, normal):
    encoder, decoder = filled(binary[0]), filled(binary[1])
    center = lambda encoder: encoder.center.value
    x, mean = normal(*IMAGE), center(encoder)
    zero = eqx.tree_at(center, encoder, jnp.zeros_like(mean))
    assert jnp.allclose(encoder(mean + x)[0], zero(x)[0])
    assert jnp.all(decoder(jnp.ones(50)) != decoder.net(jnp.ones(50)).reshape(IMAGE))
    # the fixed offsets: the mean itself, and the logits of the clipped mean
    probability = jax.nn.sigmoid(begun("binary decoder", lambda d: d.offset()))
    assert jnp.allclose(probability, jnp.clip(MEAN, 1e-4, 1 - 1e-4))
    assert jnp.allclose(begun("binary encoder", lambda e: e.center()), MEAN)


def test_burda_decoder_learns_the_mean_in_its_last_bias():
    parts = lambda decoder: (decoder.net.chain.layers[-1].bias, decoder.offset())
    bias, offset = begun("Burda decoder", parts)
    assert jnp.allclose(jax.nn.sigmoid(bias), jnp.clip(MEAN.ravel(), 1e-4, 1 - 1e-4))
    assert jnp.all(offset == 0)


@pytest.mark.parametrize(
    ("name", "limit", "bias"),
    [
        ("latent energy", lambda fan, out: math.sqrt(6 / (fan + out)), 0.0),
        ("annealed decoder", lambda fan, out: fan**-0.5, 1.0),
    ],
)
def test_dense_layers_start_uniform_on_the_papers_range(name, limit, bias):
    for layer in begun(name, lambda network: network.net.chain.layers):
        out, fan = layer.weight.shape
        edge = limit(fan, out)
        assert jnp.max(jnp.abs(layer.weight)) <= edge
        # the variance of a uniform is edge^2 / 3, that of its square 4 edge^4 / 45
        error = edge**2 * math.sqrt(4 / 45 / layer.weight.size)
        assert abs(jnp.mean(layer.weight**2) - edge**2 / 3) < 5 * error
        assert jnp.max(jnp.abs(layer.bias)) <= bias * edge
        assert bool(jnp.any(layer.bias != 0)) == bool(bias)


def test_convolutions_of_the_hvae_halve_as_published():
    x, sizes = MEAN, []
    for conv in begun("ConvHVAE q(z2|x)", lambda e: e.net.layers[0].convs.layers):
        x = jax.nn.relu(conv(x))
        sizes.append(x.shape)
        # Glorot: 6 / (16 * in + 16 * out) under the root, zero biases
        edge = math.sqrt(6 / (16 * sum(conv.weight.shape[2:])))
        assert 0.9 * edge < jnp.max(jnp.abs(conv.weight)) <= edge
        assert jnp.all(conv.bias == 0)
    assert sizes == [(14, 14, 32), (7, 7, 32), (4, 4, 32)]


def test_pixel_scales_start_at_one():
    raw = begun("small decoder", lambda decoder: decoder.raw_scale)
    assert raw.shape == IMAGE
    assert jnp.allclose(clamped_log_scale(raw), 0)


def test_bad_sizes_are_refused(normal):
    with pytest.raises(ValueError, match="28x28x1"):
        conv_hvae(np.zeros((32, 32, 3)), key=KEY)
    with pytest.raises(ValueError, match="28x28x1"):
        shape_of(lambda key: ResidualEncoder(key=key)(normal(28, 28)), KEY)
    with pytest.raises(ValueError, match="at least one branch"):
        H.Branches(0, key=KEY)
    with pytest.raises(ValueError, match="sizes of input and output"):
        MLP((3,), key=KEY)
    with pytest.raises(ValueError, match="one number"):
        Energy(lambda x: x)(normal(2))
    with pytest.raises(ValueError, match="broadcast"):
        BernoulliDecoder(lambda z: z, (4,), np.zeros(3))


def test_a_dense_layer_is_unbatched():
    layer = linear(3, 2, key=jr.key(0))
    with pytest.raises(ValueError, match=r"3 inputs met an array of shape \(5, 3\)"):
        layer(jnp.zeros((5, 3)))
