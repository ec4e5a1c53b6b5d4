"""Ranking NCE is consistent for any K > 1: errors of fitted parameters against n."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...core.numerics import log_mean_exp
from ...rundir import write_json
from .pictures import loglog

TRUTH = (0.8, -0.4)  # mean and log scale of the data, a normal
KS = (2, 8, 32)
SIZES = {"quick": (100, 300, 1000, 3000), "medium": (100, 400, 1600, 6400, 25_600)}
REPEATS = {"quick": 40, "medium": 400}


def energy(params: Float[Array, "2"], x: Float[Array, ""]) -> Float[Array, ""]:
    """`U = log pi - s` on the noise pi = N(0, 1), where the score `s` is a normal's log
    density without its constant: SNIS with it is ranking NCE, and well specified.
    """
    mean, log_scale = params
    score = -0.5 * ((x - mean) * jnp.exp(-log_scale)) ** 2
    return -0.5 * x**2 - score


def ranking_loss(
    params: Float[Array, "2"], xs: Float[Array, " n"], noise: Float[Array, "n others"]
) -> Float[Array, ""]:
    """`-mean log [K w(x) / (w(x) + sum_j w(x_j))]`, `w = exp(-U)`: what is left of the
    SNIS bound without `log pi(x)`. Noise is held, each example has its own.
    """

    def one(x, noise):
        points = jnp.concatenate([x[None], noise])
        log_w = -jax.vmap(lambda x: energy(params, x))(points)
        return log_w[0] - log_mean_exp(log_w)

    return -jnp.mean(jax.vmap(one)(xs, noise))


def fitted(
    key: PRNGKeyArray, xs: Float[Array, " n"], num: int, steps: int = 12
) -> Float[Array, "2"]:
    """The parameters that minimise the loss: damped Newton steps."""
    noise = jr.normal(key, (len(xs), num - 1))
    loss = lambda params: ranking_loss(params, xs, noise)

    def step(params, _):
        slope, curve = jax.grad(loss)(params), jax.hessian(loss)(params)
        # Eigenvalues below the floor are lifted to it: every step goes down.
        values, vectors = jnp.linalg.eigh(curve)
        values = jnp.maximum(jnp.abs(values), 0.02)
        move = vectors @ ((vectors.T @ slope) / values)
        return params - jnp.clip(move, -0.3, 0.3), None

    return jax.lax.scan(step, jnp.zeros(2), length=steps)[0]


def likeliest(xs: Float[Array, " n"]) -> Float[Array, "2"]:
    """Maximum likelihood, for comparison."""
    return jnp.stack([jnp.mean(xs), jnp.log(jnp.std(xs))])


@eqx.filter_jit
def errors(key: PRNGKeyArray, size: int, num: int | None, repeats: int) -> Array:
    """Root mean squared error over data sets; `num=None` is maximum likelihood."""
    mean, log_scale = TRUTH

    def one(key):
        dkey, fkey = jr.split(key)
        xs = mean + jnp.exp(log_scale) * jr.normal(dkey, (size,))
        found = likeliest(xs) if num is None else fitted(fkey, xs, num)
        return jnp.sum((found - jnp.array(TRUTH)) ** 2)

    return jnp.sqrt(jnp.mean(jax.lax.map(one, jr.split(key, repeats))))


def draw(folder: Path, budget: str) -> None:
    """The figure, and its numbers."""
    sizes = SIZES.get(budget, SIZES["medium"])
    repeats = REPEATS.get(budget, REPEATS["medium"])
    lines = {}
    for num in (*KS, None):
        name = "maximum likelihood" if num is None else f"K = {num}"
        found = [errors(jr.key(0), size, num, repeats) for size in sizes]
        lines[name] = (list(sizes), np.asarray(found).tolist())
    name = "energy-inspired-consistency"
    write_json(
        folder / f"{name}.json",
        {"budget": budget, "repeats": repeats, "truth": TRUTH, "rms_error": lines},
    )
    text = loglog(lines, xlabel="examples", ylabel="root mean squared error")
    (folder / f"{name}.svg").write_text(text)
