"""The methods that `sandwich` chooses from: each a sampler of any length."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..brief import brief
from ..core.density import AbstractExact, AbstractTarget
from ..core.sampler import AbstractSampler
from ..densities.exact import Exact
from ..densities.normal import StandardNormal
from ..kernels.curved import Curved
from ..kernels.hmc import HMC
from ..kernels.metropolis import RandomWalk
from ..samplers.annealed import Annealed
from ..samplers.importance import Importance
from ..samplers.smc import SMC
from .adapt import Schedule, adapt
from .fit import Fit
from .runs import BLOCK

Sampler = AbstractSampler[Float[Array, " D"]]
_CHUNK = 1024
_LEAPFROGS = 4


@dataclass(frozen=True)
class Method:
    """`build(length)` is a sampler; a run of it costs `cost(length)` evaluations."""

    name: str
    build: Callable[[int], Sampler]
    cost: Callable[[int], int]
    pilot: int  # the length that the pilot tries
    most: int  # the longest
    at_once: int = 1  # runs that are vectorised: short vectors waste the machine
    brief: int = 0  # the longest whose runs take less time than to compile them
    settings: dict[str, Any] = field(default_factory=dict)

    def jit(self, length: int) -> Callable:
        """How runs of that length are compiled."""
        return brief if length <= self.brief else eqx.filter_jit


def proposal_of(fit: Fit, whiten: Callable[[Array], Array], scale_tril: np.ndarray):
    """The fitted mixture in whitened coordinates; one Gaussian is standard there."""
    dim = fit.locs.shape[1]
    import numpyro.distributions as npd

    if np.isfinite(fit.degrees_of_freedom):
        zeros, eye = jnp.zeros(dim), jnp.eye(dim)
        return Exact(npd.MultivariateStudentT(fit.degrees_of_freedom, zeros, eye))
    if fit.vague:
        return StandardNormal((dim,))
    locs = jnp.stack([whiten(jnp.asarray(loc)) for loc in fit.locs])
    factors = np.linalg.solve(scale_tril, fit.scale_trils)
    return Exact(
        npd.MixtureSameFamily(
            npd.Categorical(logits=jnp.asarray(fit.log_weights)),
            npd.MultivariateNormal(locs, scale_tril=jnp.tril(jnp.asarray(factors))),
        )
    )


def importance(
    proposal: AbstractExact, pilot: int = 2048, guide: str = "Gaussian"
) -> Method:
    """IWAE with the fitted guide; with draws, its estimate is bridge sampling."""
    return Method(
        "importance",
        lambda num: Importance(proposal, num, chunk=_CHUNK),
        lambda num: num,
        pilot=pilot,
        most=2_000_000,
        brief=pilot,
        settings={"length": "importance samples", "guide": guide},
    )


@dataclass(frozen=True)
class Moves:
    """What moves the particles, and where that starts before it is adapted."""

    kernel: Callable[[Array], Any]
    first_step: float
    goal: float  # acceptance
    cost: int  # evaluations per move
    name: str


def moves(dim: int, *, gradient_free: bool) -> Moves:
    """HMC with few leapfrogs, or Gaussian steps where there are no gradients."""
    if gradient_free:
        return Moves(RandomWalk, 1.5 / dim**0.5, 0.3, 1, "random walk")
    hmc = lambda steps: HMC(steps, leapfrogs=_LEAPFROGS)
    name = f"HMC, {_LEAPFROGS} leapfrogs"
    return Moves(hmc, 0.5 / dim**0.25, 0.8, _LEAPFROGS, name)


def local_moves(dim: int) -> Moves:
    """Steps as long as the curvature lets them be: two Hessians and two slopes each."""
    name = "Metropolis with local curvature"
    return Moves(Curved, 0.7, 0.6, 2 * dim + 2, name)


def _along(schedule: Schedule, moves: Moves, length: int):
    """The kernel, and the temperatures its step sizes belong to."""
    betas = schedule.betas(length)
    return moves.kernel(jnp.asarray(schedule.step_sizes(betas))), betas


def annealed(
    proposal: AbstractExact, schedule: Schedule, moves: Moves, num: int = 8
) -> Method:
    """AIS: the length is the number of temperatures."""

    def build(length):
        kernel, betas = _along(schedule, moves, length)
        return Annealed(proposal, kernel, betas, num, last_move=False)

    return Method(
        "annealed importance sampling",
        build,
        lambda length: num * (1 + moves.cost * length),
        pilot=16,
        most=20_000,
        at_once=BLOCK,
        settings={"length": "temperatures", "chains": num, "kernel": moves.name},
    )


def sequential(
    proposal: AbstractExact, schedule: Schedule, moves: Moves, num: int = 64
) -> Method:
    """SMC: the length is the number of temperatures."""

    def build(length):
        kernel, betas = _along(schedule, moves, length)
        return SMC(proposal, kernel, betas, num, threshold=0.5, last_move=False)

    return Method(
        "sequential Monte Carlo",
        build,
        lambda length: num * (1 + moves.cost * length),
        pilot=12,
        most=20_000,
        at_once=BLOCK,
        settings={"length": "temperatures", "particles": num, "kernel": moves.name},
    )


def scheduled(
    key: PRNGKeyArray,
    target: AbstractTarget[Float[Array, " D"]],
    proposal: AbstractExact,
    moves: Moves,
) -> Schedule:
    """Adapt temperatures and step sizes for annealed and sequential methods."""
    return adapt(key, target, proposal, moves.kernel, moves.first_step, moves.goal)
