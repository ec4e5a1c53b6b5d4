"""Draws that share a root, every one of them refined by a sampler of its own."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Int

from ..core.checks import particle_keys, split
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity, AbstractTarget
from ..core.gradient import log_terms
from ..core.particles import Particles
from ..core.sampler import AbstractSampler
from .hierarchical import Hierarchical
from .proposals import known, put, take
from .weights import constant_weights, scaled

Z = TypeVar("Z")
R = TypeVar("R")


class _Explained(AbstractTarget[Z], Generic[Z, R]):
    """`gamma(z) r_j(root | z)`, whose constant, over `q0(root)`, has the mean `Z`."""

    target: AbstractTarget[Z]
    hierarchy: Hierarchical[Z, R]
    root: R
    j: Int[Array, ""]

    @property
    def exact(self):
        return self.target.exact

    def log_reverse(self, z: Z) -> Array:
        reverse = self.hierarchy.explain(z, self.j)
        if not reverse.exact:
            raise TypeError(
                "HierarchicalRefined: expected a reverse model of known density, as "
                f"moves ask for it again and again; got {type(reverse).__name__}, "
                "which is only estimated. Use an exact one, or `Hierarchical`."
            )
        return known(reverse, self.root)

    def log_prob(self, key, x):
        return self.target.log_prob(key, x) + self.log_reverse(x)


class HierarchicalRefined(AbstractSampler[Z], Generic[Z, R]):
    """`z0 ~ root`, and `refine(q_j(. | z0))` aims at `gamma(z) r_j(z0 | z)`:

    `Z_hat = sum_j pi_j Zhat_j / q0(z0)`.

    With `refine = Importance` it is `hierarchy` itself; with a short `Annealed` run it
    is H-IWAE whose every draw is moved up to the posterior. Weights are the same
    everywhere, as the density of a refined draw is not known.
    """

    hierarchy: Hierarchical[Z, R]
    refine: Callable[[AbstractDensity[Z]], AbstractSampler[Z]]

    def __check_init__(self):
        hierarchy = self.hierarchy
        constant_weights(hierarchy.weights, hierarchy.num, "HierarchicalRefined")
        if not hierarchy.shared:
            raise ValueError(
                "HierarchicalRefined: expected branches that share their root; got "
                "roots apart. For these use `refine` on the joint density of the pair."
            )

    def run(self, key, target):
        rkey, bkey = split(key)
        root, log_root = self.hierarchy.roots(rkey)
        branches = self.hierarchy.branches(root)

        def one(key, j):
            aim = _Explained(target, self.hierarchy, root, j)
            return self.refine(take(branches, j)).run(key, aim)

        return self._weighed(bkey, target, root, log_root, jax.vmap(one))

    def run_conditional(self, key, target, z, log_target):
        refuse_frozen(target, "`HierarchicalRefined.run_conditional`")
        jkey, rkey, qkey, ckey, okey = split(key, 5)
        hierarchy = self.hierarchy
        lane = jr.categorical(jkey, hierarchy.weights(hierarchy.num, None))
        root, log_r = hierarchy.explain(z, lane).sample_and_log_prob(rkey)
        log_root = hierarchy.root.log_prob(qkey, root)
        branches = hierarchy.branches(root)
        aim = lambda j: _Explained(target, hierarchy, root, j)
        own = self.refine(take(branches, lane))
        given = own.run_conditional(ckey, aim(lane), z, log_target + log_r)

        def others(keys, index):
            fresh = lambda key, j: self.refine(take(branches, j)).run(key, aim(j))
            runs = jax.vmap(fresh)(keys, index)
            return put(_plain(runs), lane, _plain(given))

        return self._weighed(okey, target, root, log_root, others)

    def _weighed(self, key, target, root, log_root, runs: Any) -> Particles[Z]:
        """All particles of all branches, with the weights that the root asks for."""
        num = self.hierarchy.num
        index = jnp.arange(num)
        found = _plain(runs(particle_keys(key, num), index))
        log_pi = self.hierarchy.weights(num, None) + jnp.log(float(num))

        def one(j, particles):
            aim = _Explained(target, self.hierarchy, root, j)
            log_r = jax.vmap(aim.log_reverse)(particles.value)
            likelihood = jax.vmap(lambda z: log_terms(target, key, z)[1])
            return Particles(
                particles.value,
                particles.log_target - log_r,
                scaled(log_pi[j], particles.log_weight - log_root),
                likelihood(particles.value),
            )

        flat = lambda a: a.reshape(-1, *a.shape[2:])
        return jtu.tree_map(flat, jax.vmap(one)(index, found))


def _plain(particles: Particles[Z]) -> Particles[Z]:
    """Values, targets and weights alone."""
    return Particles(particles.value, particles.log_target, particles.log_weight)
