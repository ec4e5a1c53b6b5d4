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
        """Start from this schedule, which must be increasing."""
        steps = jnp.diff(values(checked(betas)), prepend=0.0)
        self.logits = jnp.log(steps)

    def __call__(self) -> Float[Array, " T"]:
        betas = jnp.cumsum(jax.nn.softmax(self.logits))
        return betas.at[-1].set(1.0)


def checked(betas: ArrayLike | Callable[[], Float[Array, " T"]]) -> Betas:
    """`betas` without a leading 0; numbers are checked where they are known."""
    if callable(betas):
        return betas
    if isinstance(betas, Tracer):
        return jnp.asarray(betas)
    given = np.asarray(betas, float)
    kept = given[1:] if given.ndim == 1 and given.size and given[0] == 0 else given
    if (
        kept.ndim != 1
        or kept.size < 1
        or not (kept[0] >= 0 and kept[-1] == 1)
        or not np.all(np.diff(kept) >= 0)
    ):
        raise ValueError(
            "Expected betas that do not decrease, lie between 0 and 1 and end in "
            f"exactly 1; got {given}. `taut.schedules` makes some."
        )
    return jnp.asarray(kept)


def values(betas: Betas) -> Float[Array, " T"]:
    """The numbers; those that are not learned are no parameters."""
    return betas() if callable(betas) else lax.stop_gradient(betas)
