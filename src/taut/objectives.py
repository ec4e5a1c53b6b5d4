"""Per-example losses and bounds from particles."""

from jaxtyping import Array, Float

from .core.numerics import log_mean_exp
from .core.particles import Particles


def annealed(
    particles: Particles, beta: Float[Array, ""] | float
) -> Float[Array, ""]:
    """The bound with all but the likelihood weighted by `beta`: a loss, not a bound."""
    if particles.log_likelihood is None:
        raise TypeError(
            "`annealed` needs to know the likelihood: aim the sampler at "
            "`Conditioned(Joint(prior, likelihood), x)`."
        )
    rest = particles.log_weight - particles.log_likelihood
    return log_mean_exp(particles.log_likelihood + beta * rest)
