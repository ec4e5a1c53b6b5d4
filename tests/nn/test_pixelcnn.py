"""The PixelCNN is causal, normalised, of the published size; fast sampling is exact."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from taut.nn.gated_layer import GatedLayer
from taut.nn.pixelcnn import PixelCNN
from taut.nn.pixelcnn_sampling import ancestral, ancestral_by_full_passes


def coin(key, logits):
    return jr.bernoulli(key, jax.nn.sigmoid(logits)).astype(logits.dtype)


def flat_coin(key, logits):
    return coin(key, logits / 10)


def noisy(key, logits):
    return logits + jr.normal(key, logits.shape)


def small(shape=(5, 6, 1), kernels=(5, 3, 3), **options):
    """A little network, its weights large enough that every dependence shows."""
    make = functools.partial(
        PixelCNN, shape, 2, kernels=kernels, channels=4, maps=2, **options
    )
    return filled(eqx.filter_eval_shape(make, key=jr.key(0)))


def filled(network):
    """Random weights of a scale near 3 / sqrt(fan_in), without compiling anything."""
    rng = np.random.default_rng(7)
    fan_in = lambda shape: max(np.prod(shape[-4:-1]), 4)
    return jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape) * 2 / fan_in(x.shape) ** 0.5),
        network,
    )


@pytest.mark.parametrize("rise_always", [True, False])
def test_every_pixel_depends_on_earlier_pixels_only(getkey, rise_always):
    network = small(kernels=(7, 5, 5), rise_always=rise_always)
    x, z = jr.normal(getkey(), (5, 6, 1)), jr.normal(getkey(), (2,))
    by_x, by_z = jax.jit(jax.jacfwd(lambda x, z: network(x, z), (0, 1)))(x, z)
    by_x, by_z = by_x.reshape(30, 30), by_z.reshape(30, 2)
    assert jnp.all(jnp.triu(by_x) == 0)
    earlier = jnp.tril(jnp.ones((30, 30), bool), -1)
    if rise_always:  # each layer's rise costs pixels to the upper right
        assert 0 < jnp.sum(earlier & (by_x == 0)) < 60
    else:
        assert jnp.all((by_x != 0) == earlier)
    assert jnp.all(by_z[0] == 0)
    assert jnp.all(by_z[1:] != 0)


def test_receptive_field_of_the_published_kernels():
    make = functools.partial(PixelCNN, (28, 28, 1), 1, channels=1, maps=1)
    # equal positive weights: nothing cancels, what is seen has a gradient
    network = jax.tree.map(
        lambda x: jnp.full(x.shape, 0.01), eqx.filter_eval_shape(make, key=jr.key(0))
    )
    see = lambda x: network(x, jnp.zeros(1))[14, 14, 0]
    seen = jax.jit(jax.grad(see))(jnp.zeros((28, 28, 1)))[..., 0] != 0
    earlier = jnp.arange(28 * 28).reshape(28, 28) < 14 * 28 + 14
    missing = {(int(r), int(c)) for r, c in jnp.argwhere(earlier & ~seen)}
    expected = {(13, c) for c in range(19, 28)} | {(12, c) for c in range(23, 28)}
    assert missing == expected | {(11, 27)}
    assert jnp.sum(seen) == 391
    assert not jnp.any(seen & ~earlier)


@pytest.mark.parametrize("shape", [(2, 3, 1), (1, 3, 2)])
def test_probabilities_of_all_images_sum_to_one(getkey, shape):
    network, z = small(shape, (3, 3)), jr.normal(getkey(), (2,))
    images = jnp.array(list(itertools.product([0.0, 1.0], repeat=6)))
    images = images.reshape(-1, *shape)

    def log_prob(x):
        logits = network(x, z)
        return jnp.sum(x * logits - jax.nn.softplus(logits))

    log_probs = jax.jit(jax.vmap(log_prob))(images)
    assert jnp.std(log_probs) > 0.5
    assert jnp.allclose(jnp.sum(jnp.exp(log_probs)), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "draw", "rise_always"),
    [((4, 5, 1), flat_coin, True), ((3, 4, 2), noisy, False)],
)
def test_fast_samples_are_the_naive_ones(getkey, shape, draw, rise_always):
    network = small(shape, (5, 3, 3, 5), rise_always=rise_always, unit=2.0)
    keys, z = jr.split(getkey(), 30), jr.normal(getkey(), (30, 2))

    @jax.jit
    def both(key, z):
        fast = ancestral(key, network, z, draw)
        return fast, ancestral_by_full_passes(key, network, z, draw)

    fast, naive = jax.vmap(both)(keys, z)
    assert fast.shape == (30, *shape)
    assert jnp.allclose(fast, naive, rtol=1e-9, atol=1e-9)
    assert jnp.mean(jnp.std(fast, 0)) > 0.1


def test_samples_have_the_networks_law(getkey):
    network, z = small((2, 2, 1), (3, 3)), jr.normal(getkey(), (2,))
    images = jnp.array(list(itertools.product([0.0, 1.0], repeat=4)))
    outputs = eqx.filter_jit(jax.vmap(lambda x: network(x, z)))(
        images.reshape(16, 2, 2, 1)
    )
    logits = outputs.reshape(16, 4)
    truth = jnp.exp(jnp.sum(images * logits - jax.nn.softplus(logits), 1))
    num = 20_000
    draw = jax.jit(jax.vmap(lambda key: ancestral(key, network, z, coin)))
    codes = draw(jr.split(getkey(), num)).reshape(num, 4) @ jnp.array([8, 4, 2, 1.0])
    share = jnp.mean(codes[:, None] == jnp.arange(16), 0)
    scores = (share - truth) / jnp.sqrt(truth * (1 - truth) / num)
    assert jnp.max(jnp.abs(scores)) < 4


def test_layers_scanned_and_one_by_one_agree(getkey):
    network = small(kernels=(5, 3, 3, 3, 5))
    x, z = jr.normal(getkey(), (5, 6, 1)), jr.normal(getkey(), (2,))

    @jax.jit
    def one_by_one(x, z):
        maps = (network.entry(x, z),) * 2
        for layer in network.layers:
            maps = layer(*maps)
        return network.last(maps[1])

    assert len(network.layers) == 5
    assert jnp.allclose(one_by_one(x, z), eqx.filter_jit(network)(x, z), atol=1e-12)


def count(make):
    arrays = eqx.filter_eval_shape(make, key=jr.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(arrays))


def test_parameter_counts():
    decoder = lambda *args: count(functools.partial(PixelCNN, *args))
    assert decoder((28, 28, 1), 32) == 744_801
    assert decoder((32, 32, 1), 64) == 907_553
    layer = lambda inputs, kernel: count(
        functools.partial(GatedLayer, inputs, 32, kernel // 2, rise=1, hides=0)
    )
    assert layer(5, 9) == 21_344
    assert [layer(32, k) for k in (9, 7, 5, 3)] == [107_744, 70_880, 42_208, 21_728]


def test_clear_errors(getkey):
    network = small()
    with pytest.raises(ValueError, match=r"images of shape \(5, 6, 1\)"):
        network(jnp.zeros((6, 5, 1)), jnp.zeros(2))
    with pytest.raises(ValueError, match="vmap"):
        network(jnp.zeros((3, 5, 6, 1)), jnp.zeros(2))
    with pytest.raises(ValueError, match=r"z of shape \(2,\)"):
        network(jnp.zeros((5, 6, 1)), jnp.zeros(3))
    with pytest.raises(ValueError, match=r"z of shape \(2,\)"):
        ancestral(getkey(), network, jnp.zeros(3), coin)
    with pytest.raises(ValueError, match="odd"):
        PixelCNN((5, 5, 1), 2, kernels=(4, 3), key=getkey())
    with pytest.raises(ValueError, match="height, width, colours"):
        PixelCNN((5, 5), 2, key=getkey())
