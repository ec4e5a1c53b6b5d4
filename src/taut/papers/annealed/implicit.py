"""Figure 1: what importance sampling and AIS draw, at equal cost, from a correlated
normal that a factorised one proposes to.

Covariance and correlation are not printed: unit variances and 0.9 are ours. The best
factorised normal by `KL(q || p)` then has the variance `1 - 0.9^2`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ... import schedules
from ...core.density import AbstractExact, AbstractTarget
from ...core.sampler import AbstractSampler
from ...densities.normal import Normal
from ...kernels.hmc import HMC
from ...report.figures import canvas, svg
from ...samplers.annealed import Annealed
from ...samplers.importance import Importance

CORRELATION = 0.9
LEAPFROGS, STEP_SIZE = 5, 0.25


class Correlated(AbstractTarget[Array]):
    """A bivariate normal with unit variances."""

    @property
    def exact(self):
        return True

    def log_prob(self, key, x):
        apart = x[1] - CORRELATION * x[0]
        rest = 1 - CORRELATION**2
        square = x[0] ** 2 + apart**2 / rest
        return -0.5 * (square + jnp.log(rest)) - jnp.log(2 * jnp.pi)


def proposal() -> AbstractExact[Array]:
    """The best normal with independent elements."""
    return Normal(jnp.zeros(2), jnp.full(2, 0.5 * jnp.log(1 - CORRELATION**2)))


def importance(cost: int) -> AbstractSampler[Array]:
    """As many samples as the cost."""
    return Importance(proposal(), cost)


def annealing(cost: int, temperatures: int = 5) -> AbstractSampler[Array]:
    """`K T L = cost` with `L = 5`, T as the paper counts and equal steps."""
    num = max(1, cost // (temperatures * LEAPFROGS))
    betas = schedules.linear(temperatures - 1)
    return Annealed(proposal(), HMC(STEP_SIZE, LEAPFROGS), betas, num)


SAMPLERS: dict[str, Callable[[int], AbstractSampler[Array]]] = {
    "IS": importance,
    "AIS": annealing,
}


def draws(
    key: PRNGKeyArray, sampler: AbstractSampler[Array], num: int
) -> Float[Array, "num 2"]:
    """From the implicit distribution: a particle picked by its weight."""

    def one(key):
        rkey, skey = jr.split(key)
        particles = sampler.run(rkey, Correlated())
        return particles.value[jr.categorical(skey, particles.log_weight)]

    run = lambda keys: jax.lax.map(one, keys, batch_size=1000)
    return jax.jit(run)(jr.split(key, num))


def measured(points: np.ndarray) -> dict[str, float]:
    """How far from the target: variance, correlation, and the divergence from it of a
    normal with the moments of these points, in nats (a lower bound for theirs).
    """
    covariance = np.cov(points.T)
    target = np.array([[1.0, CORRELATION], [CORRELATION, 1.0]])
    inverse = np.linalg.inv(target)
    ratio = np.linalg.det(covariance) / np.linalg.det(target)
    mean = points.mean(axis=0)
    moments = np.trace(inverse @ covariance) + mean @ inverse @ mean - 2
    return {
        "variance": float(np.mean(np.diag(covariance))),
        "correlation": float(np.corrcoef(points.T)[0, 1]),
        "divergence": float(0.5 * (moments - np.log(ratio))),
    }


def compared(
    costs: tuple[int, ...], num: int, seeds: int
) -> tuple[dict[str, Any], dict[tuple[str, int], np.ndarray]]:
    """Numbers with their spread over seeds, and the first seed's points."""
    record, points = {}, {}
    for name, make in SAMPLERS.items():
        for cost in costs:
            every = [
                np.asarray(draws(jr.fold_in(jr.key(6), seed), make(cost), num))
                for seed in range(seeds)
            ]
            found = [measured(one) for one in every]
            points[name, cost] = every[0]
            record[f"{name}, cost {cost}"] = {
                k: [
                    float(np.mean([f[k] for f in found])),
                    float(np.std([f[k] for f in found], ddof=1) / np.sqrt(seeds)),
                ]
                for k in found[0]
            }
    return record, points


def picture(points: dict[tuple[str, int], np.ndarray], shown: int = 1500) -> str:
    """A row for each sampler, a column for each cost; the target's contours behind."""
    rows = list(dict.fromkeys(name for name, _ in points))
    costs = list(dict.fromkeys(cost for _, cost in points))
    size = {"nrows": len(rows), "ncols": len(costs)}
    figure, axes = canvas(2.3 * len(costs), 2.4 * len(rows), **size)
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    shape = np.linalg.cholesky([[1.0, CORRELATION], [CORRELATION, 1.0]]) @ circle
    for i, name in enumerate(rows):
        for j, cost in enumerate(costs):
            axis, here = axes[i, j], points[name, cost]
            axis.plot(*here[:shown].T, ".", markersize=1.5, alpha=0.5, color="#3566c0")
            for radius in (1, 2):
                axis.plot(*(radius * shape), color="#d1603d", linewidth=1.0)
            axis.set_xlim(-3.2, 3.2)
            axis.set_ylim(-3.2, 3.2)
            axis.set_aspect("equal")
            axis.grid(visible=False)
            axis.set_title(f"{name}, cost {cost}: {measured(here)['divergence']:.2f}")
    return svg(figure)
