"""What gradient estimators are made of. Nothing but an estimator stops a weight."""

from typing import TypeAlias, TypeVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, Float, PRNGKeyArray

from .checks import check_scalar
from .combine import Conditioned, Joint
from .density import AbstractDensity, AbstractTarget
from .particles import Particles

Z = TypeVar("Z")
T = TypeVar("T")
Zeros: TypeAlias = tuple[Float[Array, " K"], Float[Array, " K"]]


def stop(tree: T) -> T:
    """`stop_gradient` on the floating-point arrays of any pytree, modules included."""
    dynamic, static = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(lax.stop_gradient(dynamic), static)


@jax.custom_jvp
def graft(value: Float[Array, "*n"], donor: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """`value`, with the derivative of `donor` (whose own value goes unused)."""
    del donor
    return value


@graft.defjvp
def _(primals, tangents):
    return primals[0], tangents[1].astype(primals[0].dtype)


@jax.custom_vjp
def _weighted_again(stacked, zeros):
    return stacked, zeros


def _weigh_again(_, cotangents):
    stacked, (shares, scores) = cotangents
    total = jnp.sum(shares)
    # 1 - beta + beta * w_k, where log q enters the bound with a factor beta.
    factor = (total - jnp.sum(scores) + scores) / jnp.where(total != 0, total, 1)
    scaled = lambda tree, by: jtu.tree_map(lambda a: a * by.astype(a.dtype), tree)
    return jax.vmap(scaled)(stacked, factor), (shares, scores)


_weighted_again.defvjp(lambda x, zeros: ((x, zeros), None), _weigh_again)


def squared_weights(stacked: T, num: int) -> tuple[T, Zeros]:
    """What K particles are made of, and zeros for `with_zeros` to add to them.

    The cotangents of the zeros are the particles' shares `w_k` in whatever bound is
    differentiated. The reverse pass multiplies those of `stacked` by them, so that a
    path with the weight `w_k` gets `w_k^2`, with no second forward pass.
    """
    dynamic, static = eqx.partition(stacked, eqx.is_inexact_array)
    zeros = jnp.zeros(num, jnp.result_type(*jtu.tree_leaves(dynamic)))
    dynamic, zeros = _weighted_again(dynamic, (zeros, zeros))
    return eqx.combine(dynamic, static), zeros


def with_zeros(particles: Particles[Z], zeros: Zeros) -> Particles[Z]:
    """Learn how much the bound uses a particle, and how much its proposal's density."""
    shares, scores = zeros
    likelihood = particles.log_likelihood
    return Particles(
        particles.value,
        particles.log_target,
        particles.log_weight + shares + scores,
        None if likelihood is None else likelihood + shares,
    )


@jax.custom_jvp
def _no_path(z, q):
    del q
    return z


@_no_path.defjvp
def _(primals, tangents):
    raise TypeError(
        "Expected a reparameterised proposal: the gradient was asked to flow through "
        "draws that it cannot flow through (discrete, selected or accepted ones). Use "
        "`draw=vimco` or `draw=reinforce`, or `draw=detached` to train the model alone."
    )


def through(z: Z, q: AbstractDensity[Z]) -> Z:
    """The draw `z` of `q`, refusing to be differentiated where that would be wrong."""
    if q.reparameterised:
        return z
    return _no_path(z, eqx.filter(q, eqx.is_inexact_array))


def log_terms(
    target: AbstractTarget[Z], key: PRNGKeyArray, z: Z
) -> tuple[Float[Array, ""], Float[Array, ""] | None]:
    """The log target, and the part of it that annealing leaves alone, if any."""
    if isinstance(target, Conditioned) and isinstance(target.joint, Joint):
        lz, lx = target.joint.log_terms(key, (z, target.x))
        return lz + lx, lx
    name = f"{type(target).__name__}.log_prob"
    return check_scalar(name, target.log_prob(key, z)), None
