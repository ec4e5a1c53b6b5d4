"""Where a step of a refinement goes: rules that know the proposal and its slope alone.

A rule is a function of the draws before it, so the ends of `Refined` hold for each.
"""

import abc
from collections.abc import Callable
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ..core.density import AbstractReparameterised
from ..core.gradient import stop

Q = TypeVar("Q")


class AbstractUpdate(eqx.Module, Generic[Q]):
    """`proposal -> moved(proposal, step_size * v)`, `v` the direction plus momentum."""

    @abc.abstractmethod
    def direction(self, proposal: Q, slope: Q) -> PyTree[Float[Array, "..."]]:
        """Where to, in the coordinates of steps; `slope` is in the proposal's own."""

    @abc.abstractmethod
    def moved(self, proposal: Q, step: PyTree[Float[Array, "..."]]) -> Q:
        """The proposal after a step. Numbers that are not finite refuse it."""


class Ascent(AbstractUpdate[Q]):
    """Along the slope."""

    def direction(self, proposal, slope):
        return slope

    def moved(self, proposal, step):
        return eqx.apply_updates(proposal, step)


class NaturalAscent(AbstractUpdate[Q]):
    """The natural gradient of a Gaussian, on its natural parameters (Hoffman et al.,
    2013; Khan & Lin, 2017): with `step_size` r, `eta + r d bound / d (mean, square)`.

    `make(loc, log_variance)` is the proposal of these numbers: `LogVarianceNormal`. A
    step to a variance that is not positive is refused.
    """

    make: Callable[[Array, Array], Q] = eqx.field(static=True)

    def _read(self, proposal) -> tuple[Array, Array]:
        noise = None
        if isinstance(proposal, AbstractReparameterised):
            noise = jax.eval_shape(proposal.noise, jr.key(0))
        if not isinstance(noise, jax.ShapeDtypeStruct):
            raise TypeError(
                "NaturalAscent: expected a Gaussian made from one array of noise, such "
                f"as `LogVarianceNormal`; got {type(proposal).__name__}. Use `Ascent`."
            )
        assert isinstance(proposal, AbstractReparameterised)
        loc = proposal.from_noise(jnp.zeros_like(noise))
        scale = proposal.from_noise(jnp.ones_like(noise)) - loc
        return loc, 2 * jnp.log(scale)

    def _write(self, loc, log_variance):
        return eqx.filter(self.make(loc, log_variance), eqx.is_inexact_array)

    def direction(self, proposal, slope):
        loc, log_variance = self._read(proposal)
        made, pull = jax.vjp(self._write, loc, log_variance)
        if jtu.tree_structure(made) != jtu.tree_structure(slope):
            raise TypeError(
                "NaturalAscent: `make(loc, log_variance)` is to make proposals like "
                f"the one that moves, a {type(proposal).__name__}; it made {made}."
            )
        by_loc, by_log_variance = pull(slope)
        # With m = loc and s = loc^2 + variance: d/ds = d/dvariance,
        # d/dm = d/dloc - 2 loc d/dvariance.
        by_square = by_log_variance * jnp.exp(-log_variance)
        return by_loc - 2 * loc * by_square, by_square

    def moved(self, proposal, step):
        # The natural parameters are loc / variance and -1 / (2 variance).
        loc, log_variance = self._read(proposal)
        precision = jnp.exp(-log_variance) - 2 * step[1]
        moved = (loc * jnp.exp(-log_variance) + step[0]) / precision
        log_variance = -jnp.log(precision)  # NaN below zero
        return eqx.combine(self._write(moved, log_variance), proposal)


class LearnedUpdate(AbstractUpdate[Q]):
    """Iterative amortised inference (Marino et al., 2018): with `step_size` 1, a step
    is `(1 - g) parameters + g change`, gates and changes from `net`.

    `net` maps the parameters of the proposal and their slopes (2 D numbers) to logits
    of the gates and changes (2 D). Train it through the steps (`draw=unrolled`); the
    slopes are inputs, held, so that this costs no second derivatives.
    """

    net: Callable[[Float[Array, " n"]], Float[Array, " n"]]

    def direction(self, proposal, slope):
        flat, back = ravel_pytree(eqx.filter(proposal, eqx.is_inexact_array))
        slopes = ravel_pytree(stop(slope))[0]
        # Slopes of all sizes, as a network can read them.
        seen = jnp.concatenate([flat, jnp.sign(slopes) * jnp.log1p(jnp.abs(slopes))])
        out = self.net(seen)
        if jnp.shape(out) != seen.shape:
            raise ValueError(
                f"LearnedUpdate: expected {seen.size} numbers of `net`, gates and "
                f"changes of {flat.size} parameters; got shape {jnp.shape(out)}."
            )
        gates, change = jnp.split(out, 2)
        return back(jax.nn.sigmoid(gates) * (change - flat))

    def moved(self, proposal, step):
        return eqx.apply_updates(proposal, step)
