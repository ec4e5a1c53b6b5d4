"""The residual encoder: published size, batch statistics outside the network."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

from taut.nn.batch_norm import BatchNorm, Moments, Normalised, moved
from taut.nn.resnet_encoder import ResNetEncoder


def small(getkey, unit=1.0):
    return ResNetEncoder(
        (6, 5, 1), 3, channels=2, stages=2, unit=unit, key=jr.fold_in(getkey(), 0)
    )


def count(*args):
    make = functools.partial(ResNetEncoder, *args)
    arrays = eqx.filter_eval_shape(make, key=jr.key(0))
    total = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    return total((arrays.blocks, arrays.halvings)), total(arrays)


def test_parameter_counts():
    assert count((28, 28, 1), 32) == (235_520, 272_448)
    assert count((32, 32, 1), 64)[1] == 366_720
    # with the decoder's 744,801 (its own test): the published 1,017,249
    assert count((28, 28, 1), 32)[1] + 744_801 == 1_017_249


def test_normalises_to_zero_mean_and_unit_variance(getkey):
    x = 3 + 2 * jr.normal(getkey(), (50, 4, 4, 2))
    moments = Moments(jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2)))
    y = jax.vmap(BatchNorm(2), (0, None))(x, moments)
    assert jnp.allclose(jnp.mean(y, (0, 1, 2)), 0, atol=1e-12)
    assert jnp.allclose(jnp.var(y, (0, 1, 2)), 1, atol=1e-4)


def test_one_image_under_the_batchs_statistics_is_its_row_in_the_batch(getkey):
    net, images = small(getkey), jr.normal(getkey(), (4, 6, 5, 1))
    (loc, log_scale), statistics = eqx.filter_jit(net.on_batch)(images)
    one = eqx.filter_jit(Normalised(net, statistics))(images[2])
    assert loc.shape == log_scale.shape == (4, 3)
    assert jnp.allclose(one[0], loc[2], atol=1e-12)
    assert jnp.allclose(one[1], log_scale[2], atol=1e-12)
    first = net.blocks[0].first
    maps = jax.vmap(first)(images)
    assert jnp.allclose(statistics[0].mean, jnp.mean(maps, (0, 1, 2)))
    assert jnp.allclose(statistics[0].variance, jnp.var(maps, (0, 1, 2)))


def test_batch_statistics_carry_gradients_and_running_ones_do_not(getkey):
    net, images = small(getkey), jr.normal(getkey(), (4, 6, 5, 1))

    @eqx.filter_jit
    @eqx.filter_grad
    def by_batch(net):
        return jnp.sum(net.on_batch(images)[0][0] ** 2)

    # a bias before a normalisation is taken out by the batch's own mean
    slope = by_batch(net).blocks[0].second
    assert jnp.max(jnp.abs(slope.bias)) < 1e-9 < jnp.max(jnp.abs(slope.weight))

    fresh = net.fresh_statistics()
    assert [m.mean.shape for m in fresh] == [(2,)] * 4
    halfway = moved(fresh, jax.tree.map(lambda x: x + 1, fresh), momentum=0.5)
    assert jnp.allclose(halfway[3].variance, 1.5)
    assert jnp.allclose(halfway[3].mean, 0.5)


def test_pixels_are_divided_by_the_unit(getkey):
    net = small(getkey)
    wide = eqx.tree_at(jax.tree.leaves, small(getkey, 255.0), jax.tree.leaves(net))
    x, known = jr.uniform(getkey(), (6, 5, 1)), net.fresh_statistics()
    assert jnp.allclose(net(x, known)[0], wide(255 * x, known)[0], atol=1e-12)


def test_images_of_one_pixel(getkey):
    """Without halvings there are the two heads alone."""
    net = ResNetEncoder((1, 1, 1), 3, stages=0, key=getkey())
    loc, log_scale = net(jnp.ones((1, 1, 1)), net.fresh_statistics())
    assert loc.shape == log_scale.shape == (3,)
    assert jnp.allclose(loc, net.loc.weight[:, 0] + net.loc.bias)


def test_clear_errors(getkey):
    net = small(getkey)
    with pytest.raises(ValueError, match=r"images of shape \(6, 5, 1\)"):
        net(jnp.zeros((5, 6, 1)), net.fresh_statistics())
    with pytest.raises(ValueError, match="Pass fewer stages"):
        ResNetEncoder((7, 28, 1), 3, key=getkey())
    with pytest.raises(ValueError, match="stages must be an integer of at least 0"):
        ResNetEncoder((7, 28, 1), 3, stages=-1, key=getkey())
