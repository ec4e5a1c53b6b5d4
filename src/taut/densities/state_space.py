"""Hidden Markov models: with finite states, linear and Gaussian, or any others."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu

from ..core.checks import check_at_least, particle_keys, split
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity, AbstractSequence

S = TypeVar("S")
Y = TypeVar("Y")


class StateSpace(AbstractSequence[S, Y]):
    """`length` states, each drawn given the one before, and an observation of each.

    A joint density of both, as any other: `Conditioned` on observations it is a target,
    `Marginal` with a `ParticleFilter` it is a density over sequences.
    """

    initial: AbstractDensity[S]
    transition: Callable[[S], AbstractDensity[S]]
    emission: Callable[[S], AbstractDensity[Y]]
    length: int = eqx.field(static=True)

    def __check_init__(self):
        check_at_least("StateSpace: length", self.length, 1)

    @property
    def exact(self):
        return all(part.exact for part in self._parts())

    @property
    def reparameterised(self):
        return all(part.reparameterised for part in self._parts())

    def _parts(self) -> tuple[AbstractDensity, ...]:
        """The three densities' types, without their numbers."""
        state = eqx.filter_eval_shape(self.initial.sample, jr.key(0))
        conditional = lambda s: (self.transition(s), self.emission(s))
        return (self.initial, *eqx.filter_eval_shape(conditional, state))

    def sample_and_log_prob(self, key):
        refuse_frozen(self, "`sample_and_log_prob`")
        keys = particle_keys(key, self.length)

        def observe(key, state, log_state):
            observed, log_observed = self.emission(state).sample_and_log_prob(key)
            return (state, observed), log_state + log_observed

        def step(before, key):
            skey, ykey = split(key)
            state, log_state = self.transition(before).sample_and_log_prob(skey)
            return state, observe(ykey, state, log_state)

        skey, ykey = split(keys[0])
        state, log_state = self.initial.sample_and_log_prob(skey)
        first = observe(ykey, state, log_state)
        _, later = lax.scan(step, state, keys[1:])
        join = lambda one, many: jnp.concatenate([one[None], many])
        events, logs = jtu.tree_map(join, first, later)
        return events, jnp.sum(logs)

    def log_prob(self, key, x):
        states, observed = x
        self._check(x)
        keys = particle_keys(key, self.length)
        first, before, later = _at(x, 0), _at(states, slice(-1)), _at(x, slice(1, None))
        total = self.log_first(keys[0], *first)
        terms = jax.vmap(self.log_next)(keys[1:], before, *later)
        return total + jnp.sum(terms)

    def log_first(self, key, state, observed):
        return self._log_pair(key, self.initial, state, observed)

    def log_next(self, key, before, state, observed):
        return self._log_pair(key, self.transition(before), state, observed)

    def _log_pair(self, key, density, state, observed):
        skey, ykey = split(key)
        log_observed = self.emission(state).log_prob(ykey, observed)
        return density.log_prob(skey, state) + log_observed

    def _check(self, x):
        lengths = {jnp.shape(leaf)[:1] for leaf in jtu.tree_leaves(x)}
        if lengths != {(self.length,)}:
            raise ValueError(
                f"StateSpace has {self.length} states and observations, along the "
                f"first axis of every array; met first axes {sorted(lengths)}."
            )


def _at(tree, index):
    return jtu.tree_map(lambda leaf: leaf[index], tree)
