"""The one leapfrog step of the library: HMC, HIS and Hamiltonian guides."""

from collections.abc import Callable
from typing import TypeVar

from jaxtyping import Array, Float

Aux = TypeVar("Aux")


def leapfrog(
    slope_at: Callable[[Array], tuple[Array, Aux]],
    step_size: Float[Array, "*#d"],
    position: Float[Array, "*d"],
    momentum: Float[Array, "*d"],
    slope: Float[Array, "*d"],
) -> tuple[Array, Array, Array, Aux]:
    """Half a kick, a drift, half a kick, up the slope of a log density.

    `slope` is the slope at `position`, carried from the step before, so that a step
    costs one gradient. The Jacobian is one; a step of `-step_size` inverts it.
    """
    momentum = momentum + 0.5 * step_size * slope
    position = position + step_size * momentum
    slope, aux = slope_at(position)
    momentum = momentum + 0.5 * step_size * slope
    return position, momentum, slope, aux
