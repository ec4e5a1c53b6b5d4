"""Training the toy's proposals, many seeds at once, and looking at what came out."""

import functools
import time
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...core.checks import split
from ...samplers.chained import Chained
from ...samplers.hierarchical import Hierarchical
from ...train import FitResult, fit
from .toy import CONTEXT, LOG_Z, CurvedRing, Proposals, Toy, blank, build

WINDOW = 7.0  # half a side of the pictures; the paper's is 10
EVERY = 100


class Trained(NamedTuple):
    """What training left; everything has a leading axis of seeds."""

    result: FitResult
    seconds: float

    @property
    def models(self) -> Any:
        """The proposals of all seeds."""
        return self.result.params

    @property
    def first(self) -> Any:
        """Those of the first seed."""
        take = lambda a: a[0] if eqx.is_array(a) else a
        return jax.tree.map(take, self.models)


@functools.cache
def trained(proposals: Proposals, seeds: int, **settings: Any) -> Trained:
    """That many runs at once; asked for again, the same ones."""
    start = time.monotonic()
    toy = Toy(proposals=proposals, batch_size=64, **settings)
    make = lambda key: build(key, proposals)
    result = fit(
        jr.key(0),
        make,
        toy.phases(),
        blank,
        steps=toy.steps,
        batch_size=toy.batch_size,
        seeds=seeds,
        report_every=min(EVERY, toy.steps),
    )
    return Trained(result, time.monotonic() - start)


def along(run: Trained) -> dict[str, np.ndarray]:
    """What training saw, `(reports, seeds)`: KL, variances of `log w` and of `w`."""
    columns = {
        name: np.stack([np.asarray(row[name], float) for row in run.result.history])
        for name in ("bound", "square", "w", "w_square")
    }
    return {
        "step": np.array([row["step"] for row in run.result.history]),
        "bound": columns["bound"],
        "kl": LOG_Z - columns["bound"],
        "variance_log_w": columns["square"] - columns["bound"] ** 2,
        "chi_square": columns["w_square"] - columns["w"] ** 2,
    }


@eqx.filter_jit
def weights(model: Any, key: PRNGKeyArray, num: int, *, shared: bool) -> Array:
    """`w_j = K W_j / Z`, `(seeds, num, K)`, with one root for the K or with K roots.
    The noise is the same for every seed, so that seeds differ by training alone.
    """

    def one(model):
        s = model(jnp.array(CONTEXT))
        parts = (s.root, s.branch, s.reverse, s.num, s.weights)
        sampler = Hierarchical(*parts, draw=s.draw, shared=shared)
        draw = lambda key: sampler.run(key, CurvedRing()).log_weight
        log_weight = jax.lax.map(draw, jr.split(key, num), batch_size=2000)
        return jnp.exp(log_weight - LOG_Z)

    return eqx.filter_vmap(one)(model)


@eqx.filter_jit
def points(
    model: Any, key: PRNGKeyArray, num: int
) -> tuple[Float[Array, "num K 2"], Float[Array, "num 2"]]:
    """Draws of the K proposals, and the root (or first draw) that they came from."""

    def one(key):
        rkey, dkey = split(key)
        sampler = model(jnp.array(CONTEXT))
        if isinstance(sampler, Chained):
            zs = sampler.run(dkey, CurvedRing()).value
            return zs, zs[0]
        root, _ = sampler.roots(rkey)
        return sampler.draws(dkey, root)[1], root

    return jax.vmap(one)(jr.split(key, num))


@eqx.filter_jit
def mean_weights(model: Any, key: PRNGKeyArray) -> Array:
    """`E pi_j(z, z0)` over roots, `(K, rows, columns)` of the window."""
    sampler = model(jnp.array(CONTEXT))
    roots, _ = jax.vmap(sampler.roots)(jr.split(key, 64))
    axis = jnp.linspace(-WINDOW, WINDOW, 80)
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1)
    at = lambda z, root: jnp.exp(model.weights.net(z, root))
    pi = lambda z: jnp.mean(jax.vmap(lambda root: at(z, root))(roots), axis=0)
    return jnp.moveaxis(jax.vmap(jax.vmap(pi))(grid), -1, 0)
