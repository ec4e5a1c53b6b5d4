"""Log joints of constrained parameters, in whitened coordinates."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jax.scipy.special import gammaln
from numpyro.distributions import constraints

import taut
from taut.evidence.target import LogJoint, Whitened

from .registry import SamplerCase, sampler_case

SHAPE, COUNT = 5.0, 7  # rate ~ Gamma(5, 1), count ~ Poisson(rate)


def log_joint(params):
    rate = params["rate"]
    log_prior = (SHAPE - 1) * jnp.log(rate) - rate - gammaln(SHAPE)
    return log_prior + COUNT * jnp.log(rate) - rate - gammaln(COUNT + 1.0)


class Conjugate(eqx.Module):
    """The posterior, Gamma(12, 2), in the coordinates of the target."""

    target: Whitened

    def __call__(self, key):
        rate = jr.gamma(key, SHAPE + COUNT, (1,)) / 2
        z = self.target.whiten(jnp.log(rate))
        return z, self.target.log_prob(key, z)


@sampler_case
def rate():
    joint = LogJoint(log_joint, {"rate": 1.0}, {"rate": constraints.positive})
    target = Whitened(joint, jnp.array([1.75]), jnp.array([[0.29]]))
    log_z = gammaln(SHAPE + COUNT) - gammaln(SHAPE) - gammaln(COUNT + 1.0)
    log_z = log_z - (SHAPE + COUNT) * jnp.log(2.0)
    guide = taut.Normal(jnp.zeros(1), jnp.full(1, 0.1))
    return SamplerCase(taut.Importance(guide, 3), target, Conjugate(target), log_z)
