"""Images drawn pixel by pixel, each given those before it."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from ..core.density import AbstractExact


class Autoregressive(AbstractExact[Array]):
    """`p(x | z) = prod_i p(x_i | x_<i, z)`: one pass scores, pixel after pixel draws.

    `network(x, z)` at pixel `i` must depend on earlier pixels only; `head` makes the
    density of pixels from it; `ancestral(key, network, z, draw)` draws an image whose
    pixels are `draw(key, output)`, as `taut.nn.pixelcnn_sampling.ancestral` does.
    """

    network: Callable
    head: Callable
    z: Float[Array, " latent"]
    ancestral: Callable = eqx.field(static=True)
    reparameterised: ClassVar[bool] = False
    discrete: ClassVar[bool] = True

    def draw(self, key):
        pixel = lambda key, output: self.head(output).sample(key)
        return self.ancestral(key, self.network, self.z, pixel)

    def log_density(self, x):
        return self.head(self.network(x, self.z)).log_density(x)
