"""Hierarchical importance sampling: draws that share a root (Huang et al., 2019)."""

from collections.abc import Callable
from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..core.checks import check_at_least, particle_keys, split
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity, AbstractTarget
from ..core.gradient import log_terms, through
from ..core.particles import Particles
from ..core.sampler import AbstractSampler
from .hierarchical_gradient import RootDraw, root_reparam
from .proposals import known, take
from .weights import (
    AbstractWeights,
    EqualWeights,
    exact_for_weights,
    log_weights_at,
    scaled,
)

Z = TypeVar("Z")
R = TypeVar("R")


class ByBranch(eqx.Module, Generic[Z, R]):
    """A reverse model told which branch drew the point: `fn(z, j)`."""

    fn: Callable[[Z, Int[Array, ""]], AbstractDensity[R]]

    def __call__(self, z: Z, j: Int[Array, ""]) -> AbstractDensity[R]:
        return self.fn(z, j)


class Hierarchical(AbstractSampler[Z], Generic[Z, R]):
    """`z0 ~ root`, `z_j ~ branch(z0)[j]`, and `reverse(z)` explains the root:

    `Z_hat = sum_j pi_j(z_j, z0) gamma(z_j) r(z0 | z_j) / (q_j(z_j | z0) q0(z0))`.

    `branch` returns `num` densities, stacked. Without `shared`, every branch has a root
    of its own (the paper's ablation). Constant weights allow `reverse=ByBranch(fn)`.
    """

    root: AbstractDensity[R]
    branch: Callable[[R], AbstractDensity[Z]]
    reverse: Callable[[Z], AbstractDensity[R]] | ByBranch[Z, R]
    num: int = eqx.field(static=True)
    weights: AbstractWeights = EqualWeights()
    draw: RootDraw = eqx.field(static=True, default=root_reparam, kw_only=True)
    shared: bool = eqx.field(static=True, default=True, kw_only=True)

    def __check_init__(self):
        check_at_least("Hierarchical: num", self.num, 1)
        if isinstance(self.reverse, ByBranch) and not self.weights.constant:
            raise TypeError(
                "Hierarchical: a reverse model that depends on the branch needs "
                "weights that are the same everywhere, or their sum is not one; got "
                f"{type(self.weights).__name__}. Drop one of the two."
            )

    @property
    def axis(self) -> int | None:
        """Where the branches' roots are stacked, if each has its own."""
        return None if self.shared else 0

    def roots(self, key: PRNGKeyArray) -> tuple[R, Float[Array, "*K"]]:
        """The root, or as many as branches, with the log density there."""

        def one(key):
            root, log_root = self.root.sample_and_log_prob(key)
            return through(root, self.root), log_root

        return one(key) if self.shared else jax.vmap(one)(particle_keys(key, self.num))

    def branches(self, root: R) -> AbstractDensity[Z]:
        """The `num` conditionals given one root, stacked."""
        stacked = self.branch(root)
        arrays = jtu.tree_leaves(eqx.filter(stacked, eqx.is_array))
        sizes = {jnp.shape(a)[:1] for a in arrays}
        if sizes - {(self.num,)}:
            raise ValueError(
                f"Hierarchical: expected {self.num} branches, stacked on the first "
                f"axis of every array; got leading axes {sizes}. Make `num` and "
                "`branch` agree, and stack by `eqx.filter_vmap`."
            )
        exact_for_weights(stacked, self.weights, "Hierarchical")
        return stacked

    def draws(
        self, key: PRNGKeyArray, root: R
    ) -> tuple[AbstractDensity[Z], Z, Float[Array, " K"]]:
        """All branches at their roots, a draw of each and its log density."""

        def one(key, j, branches):
            own = take(branches, j)
            z, log_q = own.sample_and_log_prob(key)
            return through(z, own), log_q

        every = self.branches if self.shared else jax.vmap(self.branches)
        branches, keys = every(root), particle_keys(key, self.num)
        axes = (0, 0, self.axis)
        return branches, *jax.vmap(one, axes)(keys, jnp.arange(self.num), branches)

    def explain(self, z: Z, j: Int[Array, ""]) -> AbstractDensity[R]:
        """The law of the root given a point of branch `j`."""
        given = self.reverse
        reverse = given(z, j) if isinstance(given, ByBranch) else given(z)
        event = lambda q: eqx.filter_eval_shape(lambda q: q.sample(jr.key(0)), q)
        shapes = [jtu.tree_map(jnp.shape, event(q)) for q in (reverse, self.root)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "Hierarchical: expected a reverse model over roots, which have shape "
                f"{shapes[1]}; got one over events of shape {shapes[0]}."
            )
        return reverse

    def log_pi(self, branches: AbstractDensity[Z], z: Z, root: R) -> Array:
        """`log pi_j(z, root) + log K`, for all j."""
        densities = lambda: jax.vmap(lambda q: known(q, z))(branches)
        return log_weights_at(self.weights, self.num, densities, z, root)

    def weigh(
        self,
        key: PRNGKeyArray,
        target: AbstractTarget[Z],
        root: R,
        branches: AbstractDensity[Z],
        zs: Z,
        log_joint: Float[Array, " K"],
        axis: int | None,
    ) -> Particles[Z]:
        """Particles; `log_joint` is that of the draws and their roots."""

        def one(key, j, z, log_joint, root, branches):
            pkey, rkey = split(key)
            log_target, log_likelihood = log_terms(target, pkey, z)
            log_r = self.explain(z, j).log_prob(rkey, root)
            log_pi = self.log_pi(branches, z, root)[j]
            log_weight = scaled(log_pi, log_target + log_r - log_joint)
            return z, log_target, log_weight, log_likelihood

        keys, index = particle_keys(key, self.num), jnp.arange(self.num)
        one = jax.vmap(one, (0, 0, 0, 0, axis, axis))
        return Particles(*one(keys, index, zs, log_joint, root, branches))

    def run(self, key, target):
        return self.draw(key, target, self)

    def run_conditional(self, key, target, z, log_target):
        refuse_frozen(target, "`Hierarchical.run_conditional`")
        jkey, rkey, skey, qkey, okey = split(key, 5)
        # Constant weights choose the branch first, as the reverse model may need it.
        constant = self.weights.constant
        j = jnp.array(0)
        if constant:
            j = jr.categorical(jkey, self.weights(self.num, None))
        root, log_r = self.explain(z, j).sample_and_log_prob(rkey)
        log_root = self.root.log_prob(skey, root)
        branches = self.branches(root)
        log_pi = self.log_pi(branches, z, root)
        if not constant:
            j = jr.categorical(jkey, log_pi)
        log_joint = take(branches, j).log_prob(qkey, z) + log_root
        log_weight = scaled(log_pi[j], log_target + log_r - log_joint)
        others = self._others(okey, target, root, log_root)
        return others.retain(j, z, log_target, log_weight)

    def _others(self, key, target, root, log_root):
        """A run from this root if it is shared, from fresh ones if not."""
        rkey, dkey, wkey = split(key, 3)
        if not self.shared:
            root, log_root = self.roots(rkey)
        branches, zs, log_q = self.draws(dkey, root)
        log_joint = log_q + log_root
        return self.weigh(wkey, target, root, branches, zs, log_joint, self.axis)
