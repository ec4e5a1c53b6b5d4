"""From a network's numbers to a density."""

from collections.abc import Callable

import equinox as eqx
import jax

from ..core.density import AbstractDensity


class Conditional(eqx.Module):
    """`x -> family(*net(x))`: an encoder, a decoder, any network, as a conditional.

    A net that returns one array gives its family one argument.
    """

    net: Callable
    family: Callable[..., AbstractDensity] = eqx.field(static=True)

    def __call__(self, *given: jax.Array) -> AbstractDensity:
        out = self.net(*given)
        return self.family(*out) if isinstance(out, tuple) else self.family(out)
