"""One masked layer of the gated PixelCNN (van den Oord et al., 2016), in two forms.

A layer keeps two maps. The vertical one sees the rows above, the horizontal one the row
so far; the vertical feeds the horizontal, never the reverse, so that no pixel sees
itself or a later one. `__call__` makes whole maps; `row` and `pixel` make one row of
the vertical and one pixel of the horizontal map from the window each can see.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .conv import Conv2d, valid

Map = Float[Array, "height width channels"]


def gate(x: Float[Array, "*shape both"]) -> Float[Array, "*shape half"]:
    """`tanh` of the first half of the channels times `sigmoid` of the second."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)


class GatedLayer(eqx.Module):
    """Vertical and horizontal masked convolutions with a kernel of `2 reach + 1`.

    `rise` is 1 where the vertical map is moved down a row, 0 where it is not; `hides`
    is 1 in a first layer (mask A: no pixel sees itself), 0 later (mask B, with a skip).
    """

    vertical: Conv2d
    across: Conv2d
    horizontal: Conv2d
    out: Conv2d
    reach: int = eqx.field(static=True)
    rise: int = eqx.field(static=True)
    hides: int = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        channels: int,
        reach: int,
        *,
        rise: int,
        hides: int,
        key: PRNGKeyArray,
    ):
        both = 2 * channels
        down, over, right, out = jr.split(key, 4)
        # row r sees rows r - rise - reach .. r - rise, and all columns within reach
        rows, sides = (reach + rise, -rise), (reach, reach)
        self.vertical = Conv2d(
            inputs, both, (reach + 1, 2 * reach + 1), padding=(rows, sides), key=down
        )
        self.across = Conv2d(both, both, (1, 1), key=over)
        # column c sees columns c - hides - reach .. c - hides
        columns = (reach + hides, -hides)
        self.horizontal = Conv2d(
            inputs, both, (1, reach + 1), padding=((0, 0), columns), key=right
        )
        self.out = Conv2d(channels, channels, (1, 1), key=out)
        self.reach, self.rise, self.hides = reach, rise, hides

    def __call__(self, vertical: Map, horizontal: Map) -> tuple[Map, Map]:
        above = self.vertical(vertical)
        left = self.horizontal(horizontal)
        return gate(above), self._join(left + self.across(above), horizontal)

    def row(
        self, window: Float[Array, "rows width channels"]
    ) -> tuple[Float[Array, "width half"], Float[Array, "width both"]]:
        """One row of the vertical map, and what it tells the horizontal one.

        `window` holds the `reach + 1` rows of the map below that this row sees.
        """
        sides = ((0, 0), (self.reach, self.reach))
        above = self.vertical.padded(window, sides)
        return gate(above)[0], self.across(above)[0]

    def pixel(
        self,
        window: Float[Array, "columns channels"],
        above: Float[Array, " both"],
        below: Float[Array, " channels"],
    ) -> Float[Array, " half"]:
        """One pixel of the horizontal map from the columns it sees and `row`'s word.

        `below` is this pixel in the map below, for the skip.
        """
        left = self.horizontal.padded(window[None], valid)
        return self._join(left + above, below)[0, 0]

    def _join(self, x, below):
        joined = self.out(gate(x))
        return joined if self.hides else joined + below
