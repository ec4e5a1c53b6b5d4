"""Both ends by importance sampling, for any density."""

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import check_at_least, particle_keys, split
from ..core.density import AbstractDensity, AbstractTarget
from ..core.numerics import log_mean_exp
from ..core.particles import map_particles
from .ends import End, example_keys, weigh

X = TypeVar("X")
Model = TypeVar("Model")


def lower_end(
    key: PRNGKeyArray,
    target: Callable[[Model, PRNGKeyArray], AbstractTarget],
    model: Model,
    examples: np.ndarray,
    num: int,
    *,
    chunk: int | None = None,
    block: int = 100,
    start: int = 0,
) -> Iterator[End]:
    """`log p(x)` from below with `num` scores each, in blocks from example `start`.

    `target(model, key)` may share draws among the scores of one example (`Frozen`).
    """
    check_at_least("num", num, 1)
    for first in range(start, len(examples), block):
        xs = jnp.asarray(examples[first : first + block])
        yield _lower(target, model, example_keys(key, first, len(xs)), xs, num, chunk)


@eqx.filter_jit
def _lower(target, model, keys, xs, num, chunk):
    def one(key, x):
        tkey, skey = split(key)
        aimed = target(model, tkey)
        score = lambda key: aimed.log_prob(key, x)
        return weigh(map_particles(score, chunk)(particle_keys(skey, num)))

    return jax.lax.map(
        lambda kx: one(*kx), (keys, xs), batch_size=_together(len(xs), num)
    )


def _together(count: int, num: int) -> int:
    """Examples at once, so that about a thousand scores are; all batches alike if they
    can be, since XLA compiles a smaller last one apart.
    """
    batches = math.ceil(count / max(1, 1024 // num))
    return math.ceil(count / max(1, batches))


def both_ends(
    key: PRNGKeyArray,
    density: AbstractDensity[X],
    num_examples: int,
    num: int,
    *,
    chunk: int | None = None,
    block: int = 10,
    start: int = 0,
) -> Iterator[tuple[X, Float[Array, " n"], Float[Array, " n"]]]:
    """Examples simulated from the model, with `log p(x)` from below and from above.

    Simulated together with its latents, each example's upper end is certified.
    """
    check_at_least("num", num, 1)
    for first in range(start, num_examples, block):
        size = min(block, num_examples - first)
        yield _both(density, example_keys(key, first, size), num, chunk)


@eqx.filter_jit
def _both(density, keys, num, chunk):
    def one(key):
        xkey, skey = split(key)
        x, first = density.sample_and_log_prob(xkey)
        score = lambda key: density.log_prob(key, x)
        # One pass for both ends of `Averaged(density, num)`: `num` scores below; above,
        # the draw's own estimate and `num - 1` scores.
        scores = map_particles(score, chunk)(particle_keys(skey, 2 * num - 1))
        above = jnp.concatenate([first[None], scores[num:]])
        return x, log_mean_exp(scores[:num]), log_mean_exp(above)

    return jax.lax.map(one, keys, batch_size=_together(len(keys), 2 * num))
