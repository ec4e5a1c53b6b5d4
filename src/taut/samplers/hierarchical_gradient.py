"""Gradient estimators for draws that share a root, with one signature.

All give the same values. `root_reparam` and `root_dreg` are unbiased for the gradient
of the bound; `root_dreg_published` is not. `w_j` are the normalised weights.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import PRNGKeyArray

from ..core.checks import split
from ..core.density import AbstractTarget
from ..core.gradient import squared_weights, stop, with_zeros
from ..core.particles import Particles
from .proposals import known, take

if TYPE_CHECKING:
    from .hierarchical import Hierarchical

RootDraw: TypeAlias = Callable[
    [PRNGKeyArray, AbstractTarget, "Hierarchical"], Particles
]


def root_reparam(key, target, sampler):
    """Differentiate through draws, roots and weights alike."""
    rkey, dkey, wkey = split(key, 3)
    root, log_root = sampler.roots(rkey)
    branches, zs, log_q = sampler.draws(dkey, root)
    log_joint = log_q + log_root
    return sampler.weigh(wkey, target, root, branches, zs, log_joint, sampler.axis)


def root_dreg(key, target, sampler):
    """Doubly reparameterised, for constant weights.

    `w_j^2` on every path through `z_j`, the one from the root included; `w_j` where the
    root enters `log r - log q0` directly; inside `log q_j` the whole conditional is
    held, its root included, and the parameters are inside `log q0`. The model and the
    reverse model keep plain weights. Branches with roots of their own are independent
    draws of pairs: `w_j^2` on all paths through a pair, parameters held.
    """
    if not sampler.weights.constant:
        raise TypeError(
            "`root_dreg` needs weights that are the same at every point; got "
            f"{type(sampler.weights).__name__}. Use `root_reparam`."
        )
    rkey, dkey, wkey = split(key, 3)
    root, _ = sampler.roots(rkey)
    branches, zs, _ = sampler.draws(dkey, root)
    _require("root_dreg", sampler.root, branches)
    law = stop(sampler.root)
    if sampler.shared:
        zs, zeros = squared_weights(zs, sampler.num)
        held, log_root = stop(branches), known(law, root)
    else:
        (zs, root), zeros = squared_weights((zs, root), sampler.num)
        held = jax.vmap(_without_parameters(sampler))(root)
        log_root = jax.vmap(lambda root: known(law, root))(root)
    log_joint = _own(held, zs, sampler.axis) + log_root
    particles = sampler.weigh(wkey, target, root, held, zs, log_joint, sampler.axis)
    return with_zeros(particles, zeros)


def root_dreg_published(key, target, sampler):
    """The rule of the published code, for any weights. **Biased**: `w_j^2` on all that
    the root and its parameters do, the score of `q0` kept, and weights held that depend
    on the branches. For reproductions only; `docs/samplers.md` has the bias.
    """
    rkey, dkey, wkey = split(key, 3)
    root, _ = sampler.roots(rkey)
    branches, zs, _ = sampler.draws(dkey, root)
    _require("root_dreg_published", sampler.root, branches)
    held = stop(branches)
    roots = _copies(root, sampler.num) if sampler.shared else root
    parts = (zs, roots, _copies(sampler.root, sampler.num))
    (zs, roots, laws), zeros = squared_weights(parts, sampler.num)
    log_joint = _own(held, zs, sampler.axis) + jax.vmap(known)(laws, roots)
    if sampler.shared:
        held = _copies(held, sampler.num)
    particles = sampler.weigh(wkey, target, roots, held, zs, log_joint, 0)
    return with_zeros(particles, zeros)


def _without_parameters(sampler):
    """Root -> branches, held but for their root: `f(s) + f'(s) (root - s)` at the held
    root `s`, so that parameters are held too that a plain function closes over.
    """
    fixed = eqx.tree_at(lambda s: s.branch, sampler, stop(sampler.branch))

    def branches(root):
        dynamic, static = eqx.partition(root, eqx.is_inexact_array)
        point = lax.stop_gradient(dynamic)
        change = jtu.tree_map(jnp.subtract, dynamic, point)
        at = lambda dynamic: fixed.branches(eqx.combine(dynamic, static))
        value, slope = eqx.filter_jvp(at, (point,), (change,))
        return eqx.apply_updates(stop(value), slope)

    return branches


def _own(branches, zs, axis):
    """Each draw under its own branch."""
    index = jnp.arange(jtu.tree_leaves(zs)[0].shape[0])
    one = lambda j, z, branches: known(take(branches, j), z)
    return jax.vmap(one, (0, 0, axis))(index, zs, branches)


def _copies(tree, num):
    arrays, static = eqx.partition(tree, eqx.is_array)
    copy = lambda a: jnp.broadcast_to(a, (num, *a.shape))
    return eqx.combine(jtu.tree_map(copy, arrays), static)


def _require(name, *densities):
    for q in densities:
        if not (q.exact and q.reparameterised):
            raise TypeError(
                f"`{name}` holds the root and the branches inside their densities and "
                "differentiates through their draws: expected exact, reparameterised "
                f"ones; got {type(q).__name__}. Use `root_reparam`."
            )
