"""Ancestral sampling of a `PixelCNN` at the cost of about one pass over the image.

Every map is computed once and kept: a row of all vertical maps when the row begins
(they see finished rows only), a pixel of all horizontal maps when its turn comes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .pixelcnn import PixelCNN

Draw = Callable[[PRNGKeyArray, Array], Array]
Image = Float[Array, "height width colours"]


def ancestral(key: PRNGKeyArray, network: PixelCNN, z: Array, draw: Draw) -> Image:
    """Draw an image given `z`: pixel `i` is `draw(fold_in(key, i), outputs at i)`."""
    height, width, _ = network.shape
    layers, channels = network.layers, network.last.weight.shape[2]
    # rows[l] is what layer l sees, below so many zeros that its output's row r sees
    # rows r .. r + reach
    entry = network.entry(jnp.zeros(network.shape), z)
    empty = jnp.zeros((height, width, channels), entry.dtype)
    tops = [layer.reach + layer.rise for layer in layers]
    rows = [_padded(entry, tops[0])] + [_padded(empty, top) for top in tops[1:]]

    def draw_row(rows, r):
        rows, above = list(rows), []
        for i, layer in enumerate(layers):
            seen = jax.lax.dynamic_slice_in_dim(rows[i], r, layer.reach + 1)
            made, word = layer.row(seen)
            above.append(word)
            if i + 1 < len(layers):
                rows[i + 1] = _put(rows[i + 1], made, r + tops[i + 1])
        keys = jax.vmap(jr.fold_in, (None, 0))(key, r * width + jnp.arange(width))
        blank = _get(rows[0], r + tops[0])
        row, pixels = _draw_row(keys, network, layers, blank, above, draw)
        rows[0] = _put(rows[0], row, r + tops[0])
        return tuple(rows), pixels

    return jax.lax.scan(draw_row, tuple(rows), jnp.arange(height))[1]


def ancestral_by_full_passes(
    key: PRNGKeyArray, network: PixelCNN, z: Array, draw: Draw
) -> Image:
    """The same image by a pass over the whole image for every pixel: the definition."""
    height, width, _ = network.shape

    def draw_pixel(i, image):
        r, c = i // width, i % width
        pixel = draw(jr.fold_in(key, i), network(image, z)[r, c])
        return image.at[r, c].set(pixel)

    start = jnp.zeros(network.shape, network.spread.weight.dtype)
    return jax.lax.fori_loop(0, height * width, draw_pixel, start)


def _draw_row(keys, network: PixelCNN, layers, blank, above, draw: Draw):
    """One row from left to right: as the first layer sees it, and its pixels."""
    width, colours = network.shape[1:]
    channels = network.last.weight.shape[2]
    # columns[l] is what layer l sees of this row, as `rows` is of the image
    empty = jnp.zeros((width, channels), blank.dtype)
    sides = [layer.reach + layer.hides for layer in layers]
    columns = [_padded(blank, sides[0])] + [_padded(empty, side) for side in sides[1:]]

    def draw_pixel(columns, step):
        columns, (c, key, above) = list(columns), step
        made = empty[0]  # the first layer has no skip
        for i, layer in enumerate(layers):
            seen = jax.lax.dynamic_slice_in_dim(columns[i], c, layer.reach + 1)
            made = layer.pixel(seen, above[i], made)
            if i + 1 < len(layers):
                columns[i + 1] = _put(columns[i + 1], made, c + sides[i + 1])
        pixel = draw(key, network.last(made[None, None])[0, 0])
        here = c + sides[0]
        filled = _get(columns[0], here).at[:colours].set(pixel / network.unit)
        columns[0] = _put(columns[0], filled, here)
        return tuple(columns), pixel

    steps = (jnp.arange(width), keys, above)
    done, pixels = jax.lax.scan(draw_pixel, tuple(columns), steps)
    return done[0][sides[0] :], pixels


def _padded(x: Array, zeros: int) -> Array:
    """`x` after so many zeros along its first axis."""
    return jnp.pad(x, [(zeros, 0)] + [(0, 0)] * (x.ndim - 1))


def _get(x: Array, at: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(x, at, keepdims=False)


def _put(x: Array, part: Array, at: Array) -> Array:
    return jax.lax.dynamic_update_index_in_dim(x, part, at, 0)
