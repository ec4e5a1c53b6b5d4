"""Inverse temperatures `b_1 <= ... <= b_T = 1` of a path, without `b_0 = 0`.

`T` counts increments. In Ding and Freedman, `T` counts `b_0` too and is one more.
"""

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from .core.checks import check_at_least

Betas: TypeAlias = Float[Array, " T"] | Callable[[], Float[Array, " T"]]
_EXPECTED = (
    "Expected betas that do not decrease, lie between 0 and 1 and end in exactly 1"
)


def linear(num: int) -> np.ndarray:
    """Equal steps."""
    check_at_least("linear: num", num, 1)
    return np.arange(1, num + 1) / num


def sigmoid(num: int, rad: float = 4.0) -> np.ndarray:
    """Small steps at both ends: a sigmoid over `+-rad`, scaled to 0 .. 1."""
    check_at_least("sigmoid: num", num, 1)
    curve = 1 / (1 + np.exp(-rad * np.linspace(-1, 1, num + 1)))
    return ((curve - curve[0]) / (curve[-1] - curve[0]))[1:]


def geometric(num: int, least: float = 1e-3) -> np.ndarray:
    """Equal ratios, from `least` to 1: small steps near the proposal."""
    check_at_least("geometric: num", num, 1)
    return np.geomspace(least, 1, num) if num > 1 else np.ones(1)


def constant(num: int) -> np.ndarray:
    """All at once, then moves at the target: the MH-HMC of Hoffman (2017)."""
    check_at_least("constant: num", num, 1)
    return np.ones(num)


class Learned(eqx.Module):
    """Increments are the softmax of `logits`; they learn where gradients flow through
    the moves of the kernel, and are held where not.
    """

    logits: Float[Array, " T"]

    def __init__(self, betas: ArrayLike):
        """Start from this schedule, in which every step is one."""
        steps = jnp.diff(values(checked(betas)), prepend=0.0)
        if not isinstance(steps, Tracer) and not np.all(steps > 0):
            raise ValueError(
                "Learned: expected betas that increase, as a softmax has no share of "
                f"zero; got steps {steps}. Leave repeated betas out."
            )
        self.logits = jnp.log(steps)

    def __call__(self) -> Float[Array, " T"]:
        betas = jnp.cumsum(jax.nn.softmax(self.logits))
        # Rounded sums may fall, or pass their end.
        return lax.cummax(jnp.minimum(betas, 1.0)).at[-1].set(1.0)


def checked(betas: ArrayLike | Callable[[], Float[Array, " T"]]) -> Betas:
    """`betas` without a leading 0, checked: here, or (under `jit`) as they are met."""
    if callable(betas):
        return betas
    if isinstance(betas, Tracer):
        return _checked_when_run(jnp.asarray(betas, float))
    given = np.asarray(betas, float)
    kept = given[1:] if given.ndim == 1 and given.size and given[0] == 0 else given
    if (
        kept.ndim != 1
        or kept.size < 1
        or not (kept[0] >= 0 and kept[-1] == 1)
        or not np.all(np.diff(kept) >= 0)
    ):
        raise ValueError(f"{_EXPECTED}; got {given}. `taut.schedules` makes some.")
    return jnp.asarray(kept)


def _checked_when_run(betas: Float[Array, " T"]) -> Float[Array, " T"]:
    if betas.ndim != 1 or betas.size < 1:
        raise ValueError(f"{_EXPECTED}; got an array of shape {betas.shape}.")
    rises = jnp.all(jnp.diff(betas, prepend=0.0) >= 0)
    words = f"{_EXPECTED}; met others as the program ran."
    return eqx.error_if(betas, ~(rises & (betas[-1] == 1)), words)


def values(betas: Betas) -> Float[Array, " T"]:
    """The numbers; those that are not learned are no parameters."""
    if isinstance(betas, Learned):
        return betas()
    return _checked_when_run(betas()) if callable(betas) else lax.stop_gradient(betas)
