"""Where the upper end starts: exact draws, the user's, or our own."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from ..brief import brief
from .draws import Draws, Nuts, diagnosed, nuts, unconstrained_draws
from .fit import Fit
from .guards import missed_modes
from .moments import by_draws
from .problem import Problem
from .result import ASYMPTOTIC, CERTIFIED
from .target import LogJoint, Whitened

LEAST_RUNS = 16
_EXACT = 2000  # draws to fit to, where they are to be had


@dataclass(frozen=True)
class Source:
    """Where the upper end starts: unconstrained points for the pilot and the end."""

    early: np.ndarray | None
    late: np.ndarray | None
    kind: str
    troubles: tuple[str, ...] = ()
    trusted: bool = True  # may the guide be fitted to them?

    def pilot(self, white: Whitened) -> Float[Array, "R D"] | None:
        return whiten(white, self.early if self.late is not None else None)

    def final(self, white: Whitened) -> Float[Array, "R D"] | None:
        return whiten(white, self.late)

    def refit(self, fit: Fit | None) -> Fit:
        """To trusted draws, where half of them say more about the other half than the
        modes do.
        """
        if not self.fits:
            if fit is not None:
                return fit
            raise ValueError(
                "No mode with finite curvature was found from any start, and there are "
                "too few draws to fit a guide to. Reparameterise (a non-centred form), "
                "pass `draws`, or another `example`."
            )
        assert self.early is not None
        return by_draws(self.early, fit)

    @property
    def fits(self) -> bool:
        """Are there trusted draws, and enough of them to fit to?"""
        enough = self.early is not None and len(self.early) > 4 * self.early.shape[1]
        return enough and self.trusted


def whiten(white: Whitened, points: np.ndarray | None) -> Float[Array, "R D"] | None:
    if points is None:
        return None
    return jax.vmap(white.whiten)(jnp.asarray(points, white.loc.dtype))


def find_source(
    key, problem: Problem, target: LogJoint, fit: Fit | None, draws: Any, runs: int
) -> Source:
    exact = problem.exact
    if exact is not None:
        sample = brief(jax.vmap(lambda k: target.unconstrain(exact(k))))
        keys = [jr.split(jr.fold_in(key, i), n) for i, n in enumerate((_EXACT, runs))]
        both = np.asarray(sample(jnp.concatenate(keys)))  # one program for both
        return Source(both[:_EXACT], both[_EXACT:], CERTIFIED)
    if draws is None or (isinstance(draws, Nuts) and problem.gradient_free):
        return Source(None, None, ASYMPTOTIC)
    if isinstance(draws, Nuts):
        kept = _own_draws(key, target, fit, draws)
    else:
        kept = diagnosed(unconstrained_draws(target, draws))
    troubles = [kept.trouble] if kept.trouble else []
    early, _ = kept.split()
    missed = missed_modes(fit, early) if fit is not None else 0.0
    if missed > 0.01:
        troubles.append(
            f"the draws miss modes that hold about {missed:.0%} of the evidence: the "
            "upper end can lie below the truth"
        )
    late = kept.spaced(runs)
    if len(late) < LEAST_RUNS:
        troubles.append(f"only {len(late)} draws count as independent: draw more")
        late = kept.split()[1][:: max(1, len(early) // LEAST_RUNS)][:runs]
    return Source(early, late, ASYMPTOTIC, tuple(troubles), trusted=not troubles)


def _own_draws(key, target: LogJoint, fit: Fit | None, settings: Nuts) -> Draws:
    """NUTS in coordinates whitened by the fit, from overdispersed starts."""
    if fit is None:
        first = np.asarray(target.unconstrain(target.example))
        fit = Fit(first[None], np.eye(target.size)[None], np.zeros(1))
    loc, scale = fit.pooled()
    cast = lambda a: jnp.asarray(a, target.dtype)
    white = Whitened(target, cast(loc), cast(scale))
    nkey, skey = jr.split(key)
    # Each chain starts around the next mode: chains that never meet give it away.
    mode = np.arange(settings.chains) % fit.num
    noise = 1.5 * jr.normal(skey, (settings.chains, target.size), target.dtype)
    spread = jnp.einsum("cij,cj->ci", cast(fit.scale_trils[mode]), noise)
    positions = jax.vmap(white.whiten)(cast(fit.locs[mode]) + spread)
    found = nuts(nkey, white, positions, settings)
    values = np.asarray(jax.vmap(jax.vmap(white.colour))(jnp.asarray(found.values)))
    return replace(found, values=values)
