"""The Metropolis-adjusted Langevin algorithm."""

from jaxtyping import ArrayLike, Float

from .hmc import HMC


def MALA(step_size: Float[ArrayLike, "*T"]) -> HMC:
    """Propose `N(z + eps^2 / 2 grad log f_t(z), eps^2)`: HMC with one leapfrog step,
    whose energy change is the log ratio of Metropolis and Hastings.
    """
    return HMC(step_size, leapfrogs=1)
