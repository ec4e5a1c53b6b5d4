"""Both ends by importance sampling, for any density."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.checks import check_at_least, particle_keys, split
from ..core.combine import Averaged
from ..core.density import AbstractDensity, AbstractTarget
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

    @eqx.filter_jit
    def ends(model, keys, xs):
        def one(key, x):
            tkey, skey = split(key)
            aimed = target(model, tkey)
            score = lambda key: aimed.log_prob(key, x)
            return weigh(map_particles(score, chunk)(particle_keys(skey, num)))

        return jax.lax.map(lambda kx: one(*kx), (keys, xs))

    for first in range(start, len(examples), block):
        xs = jnp.asarray(examples[first : first + block])
        yield ends(model, example_keys(key, first, len(xs)), xs)


def both_ends(
    key: PRNGKeyArray,
    density: AbstractDensity[X],
    num_examples: int,
    num: int,
    *,
    chunk: int | None = None,
    block: int = 10,
) -> Iterator[tuple[X, Float[Array, " n"], Float[Array, " n"]]]:
    """Examples simulated from the model, with `log p(x)` from below and from above.

    Simulated together with its latents, each example's upper end is certified.
    """
    check_at_least("num", num, 1)
    averaged = Averaged(density, num, chunk)

    @eqx.filter_jit
    def ends(averaged, keys):
        def one(key):
            skey, lkey = split(key)
            x, upper = averaged.sample_and_log_prob(skey)
            return x, averaged.log_prob(lkey, x), upper

        return jax.lax.map(one, keys)

    for first in range(0, num_examples, block):
        size = min(block, num_examples - first)
        yield ends(averaged, example_keys(key, first, size))
