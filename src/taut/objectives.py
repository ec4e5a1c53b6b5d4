"""What is ascended, for one example: bounds and other objectives from particles.

All are to be made large; the minus sign is in the loss alone. Where model and guide
follow different objectives, the loss is a sum of terms with the other side held.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .core.checks import particle_keys, split
from .core.combine import Conditioned
from .core.density import AbstractDensity, AbstractTarget
from .core.gradient import stop
from .core.numerics import log_mean_exp
from .core.particles import Particles
from .core.sampler import AbstractSampler

X = TypeVar("X")
Z = TypeVar("Z")


def elbo(particles: Particles[Z]) -> Float[Array, ""]:
    """The mean log weight: `num` one-particle bounds, averaged."""
    return jnp.mean(particles.log_weight)


def iwae(particles: Particles[Z]) -> Float[Array, ""]:
    """The log of the mean weight."""
    return particles.log_z


def annealed(
    particles: Particles[Z],
    beta: Float[Array, ""] | float,
    free_bits: Float[Array, ""] | float | None = None,
) -> Float[Array, ""]:
    """`log mean exp(log p(x|z) - max(beta kl, free_bits))`, `kl` all the rest of a log
    weight: a loss, not a bound. Without `free_bits` nothing is clipped; where they do
    clip, doubly reparameterised gradients are biased, and `reparam`'s are not.
    """
    if particles.log_likelihood is None:
        raise TypeError(
            "`annealed` needs to know the likelihood: aim the sampler at "
            "`Conditioned(Joint(prior, likelihood), x)`."
        )
    kl = beta * (particles.log_likelihood - particles.log_weight)
    kl = kl if free_bits is None else jnp.maximum(kl, free_bits)
    return log_mean_exp(particles.log_likelihood - kl)


def posterior_mean(
    key: PRNGKeyArray, target: AbstractTarget[Z], particles: Particles[Z]
) -> Float[Array, ""]:
    """Fisher's identity: `sum_k probs_k log gamma(z_k)`, weights and draws held.

    Its gradient estimates that of `log Z`. AIS training ascends it; over draws from a
    guide it is the wake phase of the model (reweighted wake-sleep).
    """
    z, probs = stop((particles.value, particles.probs))
    keys = particle_keys(key, probs.shape[0])
    log_target = jax.vmap(target.log_prob)(keys, z)
    return jnp.sum(jnp.where(probs > 0, probs * log_target, 0.0))


def wake(
    key: PRNGKeyArray, guide: AbstractDensity[Z], particles: Particles[Z]
) -> Float[Array, ""]:
    """The guide's wake phase (Bornschein & Bengio, 2015): `sum_k probs_k log q(z_k)`,
    weights and draws held. No gradient passes through draws: they may be discrete.
    """
    return posterior_mean(key, guide, particles)


def sleep(
    key: PRNGKeyArray,
    joint: AbstractDensity[tuple[Z, X]],
    guide: Callable[[X], AbstractDensity[Z]],
) -> Float[Array, ""]:
    """The guide's sleep phase: `log q(z | x)` at a pair that the model dreamt."""
    dkey, qkey = split(key)
    z, x = stop(joint.sample(dkey))
    return guide(x).log_prob(qkey, z)


def decoupled(
    key: PRNGKeyArray,
    joint: AbstractDensity[tuple[Z, X]],
    model: AbstractSampler[Z],
    guide: AbstractSampler[Z],
    x: X,
) -> tuple[Float[Array, ""], Particles[Z]]:
    """The model on the bound of one sampler, the guide on that of another (usually its
    ELBO) with the model held; and the model's particles. `Refined` holds its proposal
    itself; build other samplers from `stop(guide)`.
    """
    mkey, gkey = split(key)
    particles = model.run(mkey, Conditioned(joint, x))
    own = guide.run(gkey, Conditioned(stop(joint), x))
    return particles.log_z + own.log_z, particles
