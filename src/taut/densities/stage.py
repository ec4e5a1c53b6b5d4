"""What a draw is made of: the law that its event comes from last."""

from typing import TypeVar

from jaxtyping import PRNGKeyArray

from ..core.checks import split
from ..core.combine import Joint, Marginal
from ..core.density import AbstractDensity, AbstractExact
from ..core.gradient import stop
from .discrete import Bernoulli

X = TypeVar("X")


def draw_with_path(key: PRNGKeyArray, density: AbstractDensity[X]) -> X:
    """A draw that carries its gradient where it has one, and is held where not."""
    x = density.sample(key)
    return x if density.reparameterised else stop(x)


def last_stage(key: PRNGKeyArray, density: AbstractDensity[X]) -> AbstractExact[X]:
    """The tractable law that an event of `density` is drawn from last.

    What came before it (the latents of a VAE) is drawn here, and carries its gradient.
    """
    while isinstance(density, Marginal) and isinstance(density.joint, Joint):
        key, zkey = split(key)
        prior = density.joint.prior
        if not prior.reparameterised:
            raise TypeError(
                "Expected latents through whose draws gradients flow; got a "
                f"{type(prior).__name__}. Use `negatives=ignored`."
            )
        density = density.joint.likelihood(prior.sample(zkey))
    if not isinstance(density, AbstractExact):
        raise TypeError(
            "Expected a proposal whose events come from a tractable law at last (an "
            f"exact density, or a VAE); got {type(density).__name__}. "
            "Use `negatives=ignored`."
        )
    return density


def last_coins(key: PRNGKeyArray, density: AbstractDensity[X]) -> Bernoulli:
    """The coins that an event of `density` is made of."""
    coins = last_stage(key, density)
    if not isinstance(coins, Bernoulli):
        raise TypeError(
            "Expected a proposal whose events are coins (a `Bernoulli`, or a VAE that "
            f"ends in one); got {type(coins).__name__}. Use another gradient estimator."
        )
    return coins
