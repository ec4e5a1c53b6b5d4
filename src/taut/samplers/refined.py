"""Stochastic variational inference on one example, and all proposals on its way."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

from ..core.checks import check_at_least, check_chunk, particle_keys, split
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity, AbstractReparameterised, AbstractTarget
from ..core.gradient import log_terms, through
from ..core.particles import Particles
from ..core.sampler import AbstractSampler
from .clip import AbstractClip
from .refined_gradient import RefinedDraw, decoupled
from .updates import AbstractUpdate, Ascent
from .weights import AbstractWeights, EqualWeights, constant_weights, weighed

Z = TypeVar("Z")
Clamp = tuple[Int[Array, ""], Z] | None


class Steps(eqx.Module, Generic[Z]):
    """What happened on the way, particle by particle."""

    proposal: AbstractDensity[Z]  # stacked
    rejected: Bool[Array, " K"]  # was the step from here not finite, and not taken?


class Refined(AbstractSampler[Z]):
    """BSVI (Shu et al., 2019): `steps` of gradient ascent on the parameters of
    `proposal`, a draw from each of the `steps + 1` proposals, weighed by `weights`.

    `FixedWeights((0, .., 0, 1))` is SVI. With `double`, the draws that are weighed are
    not those that move the proposal; `update` says where steps go. With `beta`, steps
    and weights are those of the annealed loss, which is no bound and has no upper end.
    With `divergence`, `KL(proposal, prior)` in closed form, steps follow it rather than
    its estimate at the draw: the same slope on average, with less noise.
    """

    proposal: AbstractDensity[Z]
    step_size: Float[ArrayLike, "*steps"]
    steps: int = eqx.field(static=True)
    weights: AbstractWeights = EqualWeights()
    momentum: Float[ArrayLike, ""] = eqx.field(default=0.0, kw_only=True)
    clip: AbstractClip | None = eqx.field(default=None, kw_only=True)
    update: AbstractUpdate = eqx.field(default=Ascent(), kw_only=True)
    beta: Float[ArrayLike, ""] | None = eqx.field(default=None, kw_only=True)
    divergence: Callable[[Any, Any], Float[Array, ""]] | None = eqx.field(
        static=True, default=None, kw_only=True
    )
    double: bool = eqx.field(static=True, default=False, kw_only=True)
    draw: RefinedDraw = eqx.field(static=True, default=decoupled, kw_only=True)
    chunk: int | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self):
        check_at_least("Refined: steps", self.steps, 0)
        check_chunk("Refined: chunk", self.chunk)
        constant_weights(self.weights, self.num, "Refined")
        if jnp.shape(self.step_size) not in ((), (self.steps,)):
            raise ValueError(
                f"Refined: expected one step size, or {self.steps}, one for each step; "
                f"got an array of shape {jnp.shape(self.step_size)}."
            )
        if self.steps > 0 and not self.proposal.reparameterised:
            raise TypeError(
                "Refined: the steps differentiate through the draws, which "
                f"{type(self.proposal).__name__} does not allow. Use a reparameterised "
                "proposal, or `steps=0`."
            )

    @property
    def num(self) -> int:
        """How many proposals: one more than steps."""
        return self.steps + 1

    def annealed(self, terms: tuple[Array, Array | None]) -> Array:
        """The log target, with the prior at the power `beta`."""
        log_target, log_likelihood = terms
        if self.beta is None:
            return log_target
        if log_likelihood is None:
            raise TypeError(
                "Refined: `beta` anneals the prior of a model: expected a target "
                "`Conditioned(Joint(prior, likelihood), x)`. Leave `beta` out."
            )
        return log_likelihood + self.beta * (log_target - log_likelihood)

    @property
    def _power(self):
        return 1.0 if self.beta is None else self.beta

    def _log_weight(self, terms, log_q):
        return self.annealed(terms) - self._power * log_q

    def _climbed(self, target, terms, q, log_q):
        """What a step goes up: the log weight, or what has its slope on average."""
        if self.divergence is None:
            return self._log_weight(terms, log_q)
        if terms[1] is None:
            raise TypeError(
                "Refined: `divergence` is that from the prior of a model: expected a "
                "target `Conditioned(Joint(prior, likelihood), x)`. Leave it out."
            )
        return terms[1] - self._power * self.divergence(q, target.joint.prior)

    def path(
        self,
        key: PRNGKeyArray,
        target_keys: PRNGKeyArray,
        target: AbstractTarget[Z],
        clamp: Clamp = None,
    ) -> Particles[Z]:
        """All proposals, and a draw from each, not yet weighed by `pi`.

        `clamp` is an index and the draw that its proposal is to make.
        """
        start, static = eqx.partition(self.proposal, eqx.is_inexact_array)
        keys = particle_keys(key, self.num)

        def visit(params, i, noise):
            """The draw that moves the proposal, and its weight."""
            q = eqx.combine(params, static)
            dkey, pkey, _ = split(keys[i], 3)
            z, log_q = self._mover(q, dkey, noise)
            terms = log_terms(target, pkey, z)
            return self._climbed(target, terms, q, log_q), (z, log_q, terms)

        def particle(params, i, moved=None):
            """The draw that is weighed: the one that moved, unless it is a `double`."""
            q = eqx.combine(params, static)
            dkey, _, skey = split(keys[i], 3)
            if self.double:
                z, log_q = q.sample_and_log_prob(skey)
            else:
                z, log_q = moved[:2] if moved else self._mover(q, dkey, None)
            # An estimate that moved the proposal is not the one that weighs.
            if moved and target.exact and not self.double:
                terms = moved[2]
            else:
                terms = log_terms(target, target_keys[i], z)
            return z, terms[0], self._log_weight(terms, log_q), terms[1]

        def step(carry, i):
            params, velocity = carry
            q = eqx.combine(params, static)
            noise = self._clamped(q, split(keys[i], 3)[0], i, clamp)
            slope, moved = jax.grad(visit, has_aux=True)(params, i, noise)
            carry, rejected = self._move(i, q, velocity, slope)
            return carry, (particle(params, i, moved), params, rejected)

        still = eqx.filter_eval_shape(self.update.direction, self.proposal, start)
        still = jtu.tree_map(lambda a: jnp.zeros(a.shape, a.dtype), still)
        carry, seen = (start, still), None
        if self.steps > 0:
            carry, seen = lax.scan(step, carry, jnp.arange(self.steps))
        last = particle(carry[0], jnp.array(self.steps)), carry[0], jnp.zeros((), bool)
        every = jtu.tree_map(lambda a: a[None], last)
        if seen is not None:
            join = lambda a, b: jnp.concatenate([a, b])
            every = jtu.tree_map(join, seen, every)
        fields, params, rejected = every
        steps = Steps(eqx.combine(params, static), rejected)
        return Particles(*fields, diagnostics=steps)

    def _clamped(self, q, key, i, clamp):
        """The noise of a step that knows of a given draw: at `index`, that which would
        have made it. The step's own slope holds it; derivatives of steps do not.
        """
        if self.double or clamp is None:
            return None
        index, given = clamp
        pick = lambda a, b: jnp.where(i == index, a, b)
        return jtu.tree_map(pick, q.to_noise(given), q.noise(key))

    def _mover(self, q, key, noise):
        """A draw through which the step differentiates."""
        if noise is None:
            z, log_q = q.sample_and_log_prob(key)
            return through(z, q), log_q
        z = q.from_noise(noise)
        return z, q.log_density(z)

    def _move(self, i, proposal, velocity, slope):
        """One step up, unless it leads to numbers that are not finite."""
        slope = slope if self.clip is None else self.clip(slope)
        size = jnp.broadcast_to(jnp.asarray(self.step_size), (self.steps,))[i]
        cast = lambda a, b: jnp.asarray(a, b.dtype)
        add = lambda v, d: cast(self.momentum, v) * v + d
        direction = self.update.direction(proposal, slope)
        faster = jtu.tree_map(add, velocity, direction)
        step = jtu.tree_map(lambda v: cast(size, v) * v, faster)
        moved = self.update.moved(proposal, step)
        fine = _usable(moved)
        params, moved = eqx.filter((proposal, moved), eqx.is_inexact_array)
        keep = lambda a, b: jnp.where(fine, a, b)
        carry = jtu.tree_map(keep, (moved, faster), (params, velocity))
        return carry, ~fine

    def run(self, key, target):
        return self.draw(key, target, self)

    def run_conditional(self, key, target, z, log_target):
        refuse_frozen(target, "`Refined.run_conditional`")
        self._refuse()
        ikey, pkey, tkey, qkey = split(key, 4)
        i = jr.categorical(ikey, self.weights(self.num, None))
        target_keys = particle_keys(tkey, self.num)
        others = self.path(pkey, target_keys, target, (i, z))
        params = eqx.filter(others.diagnostics.proposal, eqx.is_inexact_array)
        q = eqx.combine(jtu.tree_map(lambda a: a[i], params), self.proposal)
        log_weight = log_target - q.log_prob(qkey, z)
        particles = others.retain(i, z, log_target, log_weight)
        return weighed(particles, self.weights)

    def _refuse(self):
        """What has no upper end."""
        invertible = isinstance(self.proposal, AbstractReparameterised)
        if self.steps > 0 and not (self.double or invertible):
            raise TypeError(
                "Refined: the upper end explains a given draw by the noise that would "
                "have made it: expected a proposal with `to_noise`, such as `Normal`; "
                f"got {type(self.proposal).__name__}. Use `double=True`."
            )
        if self.clip is not None and not self.clip.alone:
            raise TypeError(
                f"Refined: with {type(self.clip).__name__} one example's steps depend "
                "on the other examples, and the upper end is wrong. Use `Clip`."
            )
        if self.beta is not None:
            raise TypeError(
                "Refined: with `beta` the weights are those of a loss, not of a bound; "
                "there is no upper end. Leave `beta` out."
            )


def _usable(q) -> Bool[Array, ""]:
    """Are its numbers finite, and (no scale is too large or too small for the type) a
    draw and its density? A rule on the proposal alone, so that both ends hold.
    """
    seen = [q]
    if isinstance(q, AbstractReparameterised):
        noise = jax.eval_shape(q.noise, jr.key(0))
        z = q.from_noise(jtu.tree_map(lambda a: jnp.ones(a.shape, a.dtype), noise))
        seen += [z, q.log_density(z)]
    numbers = jtu.tree_leaves(eqx.filter(seen, eqx.is_inexact_array))
    return jnp.all(jnp.asarray([jnp.all(jnp.isfinite(a)) for a in numbers]))
