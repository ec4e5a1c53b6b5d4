"""Weight-normed layers and what H-IWAE builds from them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

from taut.nn import hierarchical, residual
from taut.nn.doubling import convolve_doubled
from taut.nn.heads import clamped_log_scale, raised_log_scale, squeezed_logits
from taut.nn.proposals import LogWeights, Transition
from taut.nn.weight_norm import (
    context_linear,
    normed_conv,
    normed_linear,
    standardized,
    strided,
    unit,
)


def made(build, *args, **kwargs):
    """Build in one compilation, with draws that compile quickly."""
    key = jr.key(7, impl="rbg")
    return eqx.filter_jit(lambda key: build(*args, key=key, **kwargs))(key)


def test_weights_are_unit_and_their_size_does_not_matter(normal):
    layer = made(normed_linear, 7, 5)
    assert jnp.allclose(jnp.linalg.norm(unit(layer.direction), axis=0), 1)
    x = normal(7)
    longer = eqx.tree_at(lambda layer: layer.direction, layer, 3 * layer.direction)
    assert jnp.allclose(layer(x), longer(x))
    # starts as scale one, direction and bias within 1 / sqrt(fan_in)
    columns = layer.direction / jnp.sqrt(jnp.sum(layer.direction**2, axis=0))
    assert jnp.allclose(layer(x), x @ columns + layer.bias)
    assert jnp.max(jnp.abs(layer.direction)) <= 7**-0.5
    assert 0 < jnp.max(jnp.abs(layer.bias)) <= 7**-0.5


def test_convolution_pads_both_sides_as_published(filled, normal):
    layer, x = filled(normed_conv, 2, 3, strided(2)), normal(8, 8, 2)
    kernel = layer.direction / jnp.sqrt(jnp.sum(layer.direction**2, axis=(0, 1, 2)))
    expected = jax.lax.conv_general_dilated(
        x[None],
        kernel,
        (2, 2),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )[0]
    assert jnp.allclose(layer(x), layer.scale * expected + layer.bias)


def test_context_sets_scale_and_shift(normal):
    layer = made(context_linear, 4, 6, 3)
    x, context = normal(4), normal(3)
    weight = layer.direction / jnp.linalg.norm(layer.direction, axis=0)
    scale = layer.scale.weight @ context + layer.scale.bias
    shift = layer.shift.weight @ context + layer.shift.bias
    assert jnp.allclose(layer(x, context), scale * (x @ weight) + shift)
    # context weights start within a few thousandths, biases as a dense layer's
    assert jnp.max(jnp.abs(layer.scale.weight)) < 0.006
    assert 0 < jnp.max(jnp.abs(layer.scale.bias)) <= 3**-0.5
    assert not jnp.allclose(layer.scale.weight, layer.shift.weight)


@pytest.mark.parametrize("size", [(7,), (6, 6, 2)])
def test_data_dependent_start_gives_standard_outputs(size, filled, normal):
    make = normed_linear if len(size) == 1 else normed_conv
    layer = filled(make, size[-1], 3)
    batch = 5 + 2 * normal(64, *size)
    started = standardized(layer, batch)
    outputs = jax.vmap(started)(batch).reshape(-1, 3)
    assert jnp.allclose(outputs.mean(0), 0, atol=1e-10)
    assert jnp.allclose(outputs.std(0), 1)
    assert jnp.all(started.direction == layer.direction)
    assert not jnp.allclose(jax.vmap(layer)(batch).reshape(-1, 3).std(0), 1, atol=0.01)


def test_doubling_is_bilinear_with_corners_not_aligned():
    line = jnp.array([0.0, 4.0, 8.0])
    x = jnp.broadcast_to(line[:, None, None], (3, 3, 1))
    alone = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    assert jnp.allclose(
        convolve_doubled(x, alone)[:, 2, 0], jnp.array([0.0, 1.0, 3.0, 5.0, 7.0, 8.0])
    )


def test_convolution_of_a_doubled_image(normal):
    """Value and gradients, beside the image made and then convolved."""
    x, kernel, slope = normal(4, 3, 2), normal(3, 3, 2, 5), normal(8, 6, 5)

    def in_two(x, kernel):
        large = jax.image.resize(x, (8, 6, 2), "bilinear")
        return strided(1)(large, kernel)

    (one, one_back), (two, two_back) = (
        jax.vjp(convolve, x, kernel) for convolve in (convolve_doubled, in_two)
    )
    assert jnp.allclose(one, two, atol=1e-12)
    for a, b in zip(one_back(slope), two_back(slope)):
        assert jnp.allclose(a, b, atol=1e-12)


def test_residual_block_is_second_of_first_plus_skip(filled, normal):
    block, x = filled(residual.residual_linear, 4, 6), normal(4)
    hidden = jnp.maximum(block.first(x), 0)
    assert jnp.allclose(block(x), block.second(hidden) + block.skip(x))


def test_decoder_starts_dark():
    bias = lambda *, key: residual.ResidualDecoder(key=key).blocks[2].skip.bias
    # -3 give or take 1e-4: a pixel is bright with probability 0.05
    assert 0 < jnp.max(jnp.abs(made(bias) + 3)) < 6e-4


def test_root_starts_near_a_standard_normal(normal):
    root = made(hierarchical.Root, 4, 10)
    loc, log_scale = root(normal(10))
    # biases within 0.002, scales of 0.001 times outputs of a few units
    assert jnp.max(jnp.abs(loc)) < 0.02
    assert jnp.max(jnp.abs(log_scale)) < 0.02
    assert jnp.max(jnp.abs(loc)) > 0


def test_branches_are_stacked_and_depend_on_root_and_context(filled, normal):
    branches = filled(hierarchical.Branches, 3, 2, 5, 8)
    root, context = normal(2), normal(5)
    loc, log_scale = branches(root, context)
    # outputs 2j and 2j + 1 of the stacked head are branch j
    wide, _ = branches.head(root, context)
    assert jnp.allclose(loc[1], wide[2:4])
    slope = jax.jacobian(lambda root: branches(root, context)[0])(root)
    assert jnp.all(jnp.any(slope != 0, axis=(1, 2)))
    assert jnp.all(jnp.isfinite(log_scale))
    other = branches(root, context + 1.0)
    assert not jnp.allclose(other[0], loc)


def test_reverse_with_branches_has_a_context_for_each(filled, normal):
    own = filled(hierarchical.Reverse, 3, 2, 5, 8)
    shared = filled(hierarchical.Reverse, 1, 2, 5, 8)
    z, context = normal(2), normal(5)
    at = lambda network: jax.vmap(lambda j: network(z, context, j))(jnp.arange(3))
    for leaf in at(own):
        assert not jnp.allclose(leaf[0], leaf[1])
        assert not jnp.allclose(leaf[1], leaf[2])
    for leaf in at(shared):
        assert jnp.all(leaf == leaf[0])
    # the second head is a log variance
    _, raw = own.head(z, own.embed(context)[5:10])
    assert jnp.allclose(own(z, context, 1)[1], raw / 2)


def test_transition_starts_as_a_gated_step_of_unit_scale(normal):
    transition, z = made(Transition), normal(2)
    _, log_scale = transition(z)
    assert jnp.allclose(log_scale, 0, atol=0.02)
    closed = eqx.tree_at(lambda t: t.gate.bias, transition, jnp.full(2, -50.0))
    assert jnp.allclose(closed(z)[0], z)


def test_learned_weights_add_up_to_one(filled, normal):
    weights = filled(LogWeights, 4)
    z, root = normal(2), normal(2)
    assert jnp.isclose(jnp.sum(jnp.exp(weights(z, root))), 1)
    assert not jnp.allclose(weights(z, root), weights(root, z))


def test_scales_and_probabilities_keep_their_floors():
    raw = jnp.array([-200.0, -5.0, 0.0, 3.0])
    scale = jax.nn.softplus(raw)
    assert jnp.allclose(jnp.exp(clamped_log_scale(raw)), jnp.maximum(1e-5, scale))
    assert jnp.allclose(jnp.exp(raised_log_scale(raw)), scale + 1e-6)
    logits = jnp.array([-1e4, -3.0, 0.0, 2.0, 1e4])
    expected = jax.nn.sigmoid(logits) * (1 - 1e-6) + 5e-7
    assert jnp.allclose(jax.nn.sigmoid(squeezed_logits(logits)), expected, rtol=1e-9)
    slope = jax.vmap(jax.grad(squeezed_logits))(logits)
    assert jnp.all(jnp.isfinite(slope))
    assert jnp.all(slope >= 0)
