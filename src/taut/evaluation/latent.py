"""What a latent-variable model spends its bound on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ..core.checks import split
from ..core.combine import Conditioned, Marginal
from ..core.density import AbstractReparameterised, AbstractTarget
from ..samplers.importance import Importance
from .ends import example_keys

ACTIVE = 0.01  # of Burda et al. (2016): a unit is active where its variance is larger


def rate_and_distortion(
    key: PRNGKeyArray, model: AbstractTarget, examples: np.ndarray
) -> dict[str, Any]:
    """The bound of the guide in two parts, `-distortion - rate`, and how many latent
    units move with the example. Empty where the model has no guide and likelihood.
    """
    if not isinstance(model, Marginal):
        return {}

    @eqx.filter_jit
    def parts(model, keys, xs):
        def one(key, x):
            skey, lkey = split(key)
            sampler = model.sampler(x)
            target = Conditioned(model.joint, x)
            particles = sampler.run(skey, target)
            if particles.log_likelihood is None:
                return None
            likelihood = jnp.mean(particles.log_likelihood)
            rest = likelihood - jnp.mean(particles.log_weight)
            return -likelihood, rest, _centre(sampler, lkey)

        return jax.vmap(one)(keys, xs)

    found = parts(model, example_keys(key, 0, len(examples)), jnp.asarray(examples))
    if found is None:
        return {}
    distortion, rate, centres = found
    told = {"distortion": float(distortion.mean()), "rate": float(rate.mean())}
    if centres is not None:
        flat = [c.reshape(len(c), -1) for c in jax.tree.leaves(centres)]
        spread = jnp.var(jnp.concatenate(flat, axis=1), axis=0)
        told |= {"active_units": int(jnp.sum(spread > ACTIVE)), "units": spread.size}
    return told


def _centre(sampler: Any, key: PRNGKeyArray) -> Any:
    """Where the guide is without noise, if it is one that can tell."""
    if not isinstance(sampler, Importance):
        return None
    guide = sampler.proposal
    if not isinstance(guide, AbstractReparameterised):
        return None
    return guide.from_noise(jax.tree.map(jnp.zeros_like, guide.noise(key)))
