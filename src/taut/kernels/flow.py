"""What HMC, MALA and Langevin share: leapfrog steps along one density of a path."""

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..core.kernel import Path, Point
from ..core.leapfrog import leapfrog


def flow(
    path: Path,
    t: Int[Array, ""],
    start: Point,
    momentum: Float[Array, " D"],
    step_size: Float[Array, "*#D"],
    leapfrogs: int,
) -> tuple[Point, Float[Array, ""]]:
    """The end of `leapfrogs` steps, and the log ratio of its energy to the start's.

    The slope at `start` is carried, interior steps need slopes only, and the log
    densities are evaluated at the end alone: exactly `leapfrogs` gradients.
    """

    def interior(carry, _):
        *carry, _ = leapfrog(lambda z: (path.slope(t, z), None), step_size, *carry)
        return tuple(carry), None

    def end(z):
        point = path.value_and_slope(z)
        return _slope(path, t, point), point

    before = momentum
    carry = (start.position, momentum, _slope(path, t, start))
    if leapfrogs > 1:
        carry, _ = lax.scan(interior, carry, length=leapfrogs - 1)
    _, after, _, point = leapfrog(end, step_size, *carry)
    # log [f_t(z') N(p')] - log [f_t(z) N(p)]
    log_ratio = path.at(t, point.log_q, point.log_gamma)
    log_ratio = log_ratio - path.at(t, start.log_q, start.log_gamma)
    return point, log_ratio + 0.5 * jnp.sum(before**2 - after**2)


def _slope(path: Path, t: Int[Array, ""], point: Point) -> Float[Array, " D"]:
    if point.slope_q is None or point.slope_gamma is None:
        raise ValueError("Expected a point with slopes, as `path.value_and_slope` has.")
    return path.at(t, point.slope_q, point.slope_gamma)
