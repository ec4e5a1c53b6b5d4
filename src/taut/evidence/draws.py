"""Posterior draws: the user's, checked, or our own from NUTS."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..core.density import AbstractTarget
from .statistics import autocorrelation_ess, split_rhat
from .target import LogJoint

_MOST_RHAT = 1.05


@dataclass(frozen=True)
class Nuts:
    """BlackJAX's NUTS with window adaptation, from overdispersed starts."""

    chains: int = 4
    warmup: int = 300
    num: int = 400


@dataclass(frozen=True)
class Draws:
    """Unconstrained draws, of shape (chains, n, D), and how well they mixed."""

    values: np.ndarray
    rhat: float
    ess: float
    evaluations: int = 0

    @property
    def trouble(self) -> str | None:
        """Why an upper end may not rest on them."""
        if not self.rhat <= _MOST_RHAT:
            return (
                f"the chains disagree (R-hat {self.rhat:.2f}, at most {_MOST_RHAT} "
                "is trusted): draw longer chains, or reparameterise"
            )
        return None

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """The first half of every chain, to fit to; the second, for the upper end."""
        half = self.values.shape[1] // 2
        return flattened(self.values[:, :half]), flattened(self.values[:, half:])

    def spaced(self, num: int) -> np.ndarray:
        """At most `num` of the second half, as far apart as they have to be to count
        as independent.
        """
        _, later = self.split()
        count = int(min(num, self.ess / 2, len(later)))
        picks = np.linspace(0, len(later) - 1, max(count, 1)).round().astype(int)
        return later[picks]


def diagnosed(values: np.ndarray, evaluations: int = 0) -> Draws:
    """Draws of shape (chains, n, D), with the worst R-hat and effective size."""
    rhat = float(np.max(split_rhat(values)))
    ess = float(np.min(autocorrelation_ess(values)))
    return Draws(values, rhat, ess, evaluations)


def flattened(values: np.ndarray) -> np.ndarray:
    """All chains together, of shape (draws, D)."""
    return values.reshape(-1, values.shape[-1])


def unconstrained_draws(target: LogJoint, draws: PyTree) -> np.ndarray:
    """The user's draws, checked: a pytree like `example` with leading axes of draws, or
    of chains and draws. The result has shape (chains, draws, D).
    """
    draws = _as_mapping(draws)
    example = target.example
    if isinstance(draws, Mapping) and isinstance(example, Mapping):
        missing = sorted(set(example) - set(draws))
        if missing:
            raise ValueError(
                f"The draws lack {missing}; they have {sorted(draws)}. An upper end "
                "needs every parameter of the log joint."
            )
        draws = {name: draws[name] for name in example}
    if jtu.tree_structure(draws) != jtu.tree_structure(example):
        raise ValueError(
            f"Expected draws structured like `example`, {jtu.tree_structure(example)}; "
            f"got {jtu.tree_structure(draws)}."
        )
    draws = jtu.tree_map(lambda d, e: jnp.asarray(d, e.dtype), draws, example)
    leading = {
        d.shape[: d.ndim - e.ndim] for d, e in zip(*map(_leaves, (draws, example)))
    }
    shapes = lambda tree: jtu.tree_map(jnp.shape, tree)
    tails = [
        d.shape[d.ndim - e.ndim :] for d, e in zip(*map(_leaves, (draws, example)))
    ]
    if (
        len(leading) != 1
        or len(*leading) not in (1, 2)
        or tails != [e.shape for e in _leaves(example)]
    ):
        raise ValueError(
            "Expected draws with a leading axis of draws, or of chains and draws, "
            f"before parameters of shapes {shapes(example)}; got {shapes(draws)}."
        )
    (lead,) = leading
    if len(lead) == 1:
        draws = jtu.tree_map(lambda d: d[None], draws)
    if draws_per_chain(draws) < 40:
        raise ValueError(
            f"Expected at least 40 draws per chain; got {draws_per_chain(draws)}."
        )
    values = np.asarray(jax.vmap(jax.vmap(target.unconstrain))(draws))
    if not np.all(np.isfinite(values)):
        share = np.mean(~np.all(np.isfinite(values), axis=-1))
        raise ValueError(
            f"{share:.1%} of the draws are not finite, or break a constraint. Are "
            "they draws of these parameters, on the constrained scale?"
        )
    return values


def draws_per_chain(draws: PyTree) -> int:
    return _leaves(draws)[0].shape[1]


def nuts(
    key: PRNGKeyArray,
    target: AbstractTarget[Float[Array, " D"]],
    positions: Float[Array, "chains D"],
    settings: Nuts,
) -> Draws:
    """Our own draws, in the coordinates of `target`."""
    import blackjax

    log_prob = lambda u: target.log_prob(key, u)

    @eqx.filter_jit
    def chain(key, position):
        wkey, skey = jr.split(key)
        adaptation: Any = blackjax.window_adaptation(blackjax.nuts, log_prob)
        (state, parameters), _ = adaptation.run(wkey, position, settings.warmup)
        step: Any = blackjax.nuts(log_prob, **parameters).step

        def one(state, key):
            state, info = step(key, state)
            return state, (state.position, info.num_integration_steps)

        _, out = jax.lax.scan(one, state, jr.split(skey, settings.num))
        return out

    keys = jr.split(key, settings.chains)
    values, leapfrogs = jax.vmap(chain)(keys, positions)
    # Warm-up is of the same kind: counted at the same rate.
    share = 1 + settings.warmup / settings.num
    return diagnosed(np.asarray(values), int(share * int(np.sum(leapfrogs))))


def _leaves(tree: PyTree) -> list:
    return jtu.tree_leaves(tree)


def _as_mapping(draws: Any) -> Any:
    """The posterior group of what ArviZ calls inference data."""
    if type(draws).__module__.split(".")[0] in ("arviz", "arviz_base", "xarray"):
        posterior = draws["posterior"] if "posterior" in draws else draws
        return {str(name): np.asarray(posterior[name]) for name in posterior.data_vars}
    return draws
