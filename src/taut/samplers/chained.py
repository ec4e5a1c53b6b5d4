"""Dependent proposals: each may look at all draws before it."""

from collections.abc import Callable
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Int

from ..core.checks import check_at_least, particle_keys, split
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity
from ..core.gradient import log_terms, through
from ..core.particles import Particles
from ..core.sampler import AbstractSampler
from .proposals import check_alike, put, take
from .weights import AbstractWeights, EqualWeights, constant_weights, weighed

Z = TypeVar("Z")


class Markov(eqx.Module, Generic[Z]):
    """Each proposal looks at the draw before it: `transition(z)`."""

    transition: Callable[[Z], AbstractDensity[Z]]

    def __call__(self, i: Int[Array, ""], past: Z) -> AbstractDensity[Z]:
        return self.transition(take(past, i - 1))


class Chained(AbstractSampler[Z]):
    """`Z_hat = sum_i pi_i gamma(z_i) / q_i(z_i | z_<i)`: the generalised IWAE bound.

    `z_0 ~ first`; `z_i ~ next(i, past)`, where `past` holds `num` draws, stacked, those
    from the `i`-th on zero. `Markov(transition)` is one such `next`. Given an exact
    draw, an index is drawn from `pi` and the chain is run with it clamped there.
    """

    first: AbstractDensity[Z]
    next: Callable[[Int[Array, ""], Z], AbstractDensity[Z]]
    num: int = eqx.field(static=True)
    weights: AbstractWeights = EqualWeights()

    def __check_init__(self):
        check_at_least("Chained: num", self.num, 1)
        constant_weights(self.weights, self.num, "Chained")

    def _chain(self, key, clamp):
        """All draws and their log densities; `clamp` is an index and its draw."""
        keys = particle_keys(key, self.num)

        def visit(i, q):
            dkey, skey = split(keys[i])
            z, log_q = q.sample_and_log_prob(dkey)
            z = through(z, q)
            if clamp is None:
                return z, log_q
            here, given = i == clamp[0], clamp[1]
            pick = lambda a, b: jnp.where(here, a, b)
            score = q.log_prob(skey, given)
            return jtu.tree_map(pick, given, z), pick(score, log_q)

        def step(past, i):
            z, log_q = visit(i, self.next(i, past))
            check_alike("Chained: the first proposal", first, z)
            return put(past, i, z), log_q

        first, log_first = visit(jnp.array(0), self.first)
        empty = lambda a: jnp.zeros((self.num, *a.shape), a.dtype)
        past = put(jtu.tree_map(empty, first), 0, first)
        zs, log_q = lax.scan(step, past, jnp.arange(1, self.num))
        return zs, jnp.concatenate([log_first[None], log_q])

    def _particles(self, key, target, clamp=None):
        """Particles not yet weighed by `pi`, and the log densities of their draws."""
        qkey, pkey = split(key)
        zs, log_q = self._chain(qkey, clamp)
        terms = jax.vmap(lambda key, z: log_terms(target, key, z))
        log_target, log_likelihood = terms(particle_keys(pkey, self.num), zs)
        return Particles(zs, log_target, log_target - log_q, log_likelihood), log_q

    def run(self, key, target):
        return weighed(self._particles(key, target)[0], self.weights)

    def run_conditional(self, key, target, z, log_target):
        refuse_frozen(target, "`Chained.run_conditional`")
        ikey, ckey = split(key)
        i = jr.categorical(ikey, self.weights(self.num, None))
        others, log_q = self._particles(ckey, target, (i, z))
        particles = others.retain(i, z, log_target, log_target - log_q[i])
        return weighed(particles, self.weights)
