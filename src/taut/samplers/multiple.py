"""Multiple importance sampling: unlike proposals, weighed where they overlap."""

from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import jax.random as jr

from ..core.checks import particle_keys, split
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity
from ..core.gradient import log_terms
from ..core.particles import Particles
from ..core.sampler import AbstractSampler
from .proposals import AbstractProposals, as_proposals
from .weights import (
    AbstractWeights,
    EqualWeights,
    exact_for_weights,
    log_weights_at,
    scaled,
)

Z = TypeVar("Z")


class MultipleImportance(AbstractSampler[Z]):
    """`Z_hat = sum_j pi_j(z_j) gamma(z_j) / q_j(z_j)`, with `sum_j pi_j = 1` everywhere
    (Veach & Guibas, 1995; for dependent draws, J-IWAE of Huang et al., 2019).
    """

    proposals: AbstractProposals[Z]
    weights: AbstractWeights

    def __init__(
        self,
        proposals: AbstractProposals[Z] | Sequence[AbstractDensity[Z]],
        weights: AbstractWeights = EqualWeights(),  # noqa: B008
    ):
        self.proposals, self.weights = as_proposals(proposals), weights

    def __check_init__(self):
        exact_for_weights(self.proposals, self.weights, "MultipleImportance")

    def _log_pi(self, z):
        """`log pi_j(z) + log K`."""
        q = self.proposals
        return log_weights_at(self.weights, q.num, lambda: q.log_densities(z), z)

    def _particles(self, key, target, zs, log_q):
        keys = particle_keys(key, self.proposals.num)

        def one(j, key, z, log_q):
            log_target, log_likelihood = log_terms(target, key, z)
            log_weight = scaled(self._log_pi(z)[j], log_target - log_q)
            return z, log_target, log_weight, log_likelihood

        return Particles(*jax.vmap(one)(jnp.arange(len(keys)), keys, zs, log_q))

    def run(self, key, target):
        qkey, pkey = split(key)
        zs, log_q = self.proposals.sample_and_log_prob(qkey)
        return self._particles(pkey, target, zs, log_q)

    def run_conditional(self, key, target, z, log_target):
        refuse_frozen(target, "`MultipleImportance.run_conditional`")
        jkey, qkey, pkey = split(key, 3)
        log_pi = self._log_pi(z)
        j = jr.categorical(jkey, log_pi)
        zs, log_q = self.proposals.conditional(qkey, j, z)
        others = self._particles(pkey, target, zs, log_q)
        log_weight = scaled(log_pi[j], log_target - log_q[j])
        return others.retain(j, z, log_target, log_weight)
