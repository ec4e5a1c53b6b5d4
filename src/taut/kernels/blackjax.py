"""Any BlackJAX kernel that leaves its target invariant."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import PyTree

from ..core.gradient import stop
from ..core.kernel import AbstractKernel

_REVERSIBLE = ("hmc", "nuts", "mala", "barker", "multinomial_hmc", "rmhmc")


class BlackJAX(AbstractKernel):
    """`algorithm(log_density, **parameters)`, as in `BlackJAX(blackjax.nuts, {...})`.

    The algorithm must leave `log_density` invariant, rejections included (`sgld` or
    `mclmc` do not). Upper ends need it reversible; say so where it is not known.
    """

    algorithm: Callable[..., Any] = eqx.field(static=True)
    parameters: PyTree
    reversible: bool = eqx.field(static=True)
    reparameterised: ClassVar[bool] = False

    def __init__(
        self,
        algorithm: Callable[..., Any],
        parameters: dict[str, Any],
        *,
        reversible: bool | None = None,
    ):
        self.algorithm, self.parameters = algorithm, parameters
        self.reversible = _known(algorithm) if reversible is None else reversible

    def init(self, path, position):
        return path.value(position)

    def forward(self, key, path, t, state):
        def log_density(position):
            return path.at(t, path.log_q(position), path.log_gamma(position))

        kernel = self.algorithm(log_density, **self.parameters)
        start = kernel.init(stop(state.position))
        after, info = kernel.step(key, start)
        point = path.value(stop(after.position))
        bad = jnp.isnan(path.at(t, point.log_q, point.log_gamma))
        chosen = jtu.tree_map(lambda a, b: jnp.where(bad, b, a), point, state)
        acceptance = getattr(info, "acceptance_rate", jnp.ones_like(point.log_q))
        known = lambda point: (point.acceptance, point.invalid)
        seen = acceptance.astype(point.log_q.dtype), state.invalid + point.invalid
        return eqx.tree_at(known, stop(chosen), stop(seen)), jnp.zeros_like(point.log_q)

    def backward(self, key, path, t, state):
        if not self.reversible:
            raise TypeError(
                "An upper end runs the kernel backwards, and this BlackJAX algorithm "
                "is not known to be reversible. Use `blackjax.hmc`, `nuts` or `mala`, "
                "or pass `reversible=True` if detailed balance holds for positions."
            )
        return self.forward(key, path, t, state)


def _known(algorithm: Callable[..., Any]) -> bool:
    import blackjax

    return any(algorithm is getattr(blackjax, name, None) for name in _REVERSIBLE)
