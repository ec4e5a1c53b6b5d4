"""K proposals drawn together: apart, correlated, or in antithetic pairs."""

import abc
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..core.checks import check_at_least, check_shape, particle_keys, split
from ..core.density import AbstractDensity, AbstractReparameterised
from ..core.gradient import through

Z = TypeVar("Z")


def take(stacked, j):
    """The `j`-th of a stacked pytree."""
    return jtu.tree_map(lambda a: a[j], stacked)


def put(stacked, j, value):
    """A stacked pytree with another `j`-th."""
    place = lambda a, b: a.at[j].set(jnp.asarray(b).astype(a.dtype))
    return jtu.tree_map(place, stacked, value)


def check_alike(name: str, expected: Z, z: Z) -> None:
    """Several proposals are over the same events."""
    check = lambda a, b: check_shape(name, jnp.shape(a), b)
    jtu.tree_map(check, expected, z)


def known(q: AbstractDensity[Z], z: Z) -> Float[Array, ""]:
    """The value of an exact density: one function of the point, whatever the key."""
    return q.log_prob(jr.key(0), z)


class AbstractProposals(eqx.Module, Generic[Z]):
    """K points with known marginals, whatever the dependence between them."""

    num: eqx.AbstractVar[int]
    exact: eqx.AbstractVar[bool]  # are all marginals densities of known value?

    @abc.abstractmethod
    def sample_and_log_prob(self, key: PRNGKeyArray) -> tuple[Z, Float[Array, " K"]]:
        """K points, stacked, each with the number of its own marginal."""

    @abc.abstractmethod
    def conditional(
        self, key: PRNGKeyArray, j: Int[Array, ""], z: Z
    ) -> tuple[Z, Float[Array, " K"]]:
        """The same, given that the `j`-th point is `z`."""

    @abc.abstractmethod
    def log_densities(self, z: Z) -> Float[Array, " K"]:
        """Every marginal at one point; exact ones only."""


class Separate(AbstractProposals[Z]):
    """Independent draws, one from each of some densities of any families."""

    densities: tuple[AbstractDensity[Z], ...]

    def __init__(self, densities: Sequence[AbstractDensity[Z]]):
        self.densities = tuple(densities)
        check_at_least("Separate: the number of densities", self.num, 1)

    @property
    def num(self):
        return len(self.densities)

    @property
    def exact(self):
        return all(q.exact for q in self.densities)

    def sample_and_log_prob(self, key):
        keys = particle_keys(key, self.num)
        draws = [q.sample_and_log_prob(k) for q, k in zip(self.densities, keys)]
        zs = [through(z, q) for (z, _), q in zip(draws, self.densities)]
        for z in zs[1:]:
            check_alike("The first proposal", zs[0], z)
        stack = lambda *leaves: jnp.stack(leaves)
        return jtu.tree_map(stack, *zs), jnp.stack([log_q for _, log_q in draws])

    def conditional(self, key, j, z):
        dkey, skey = split(key)
        zs, log_q = self.sample_and_log_prob(dkey)
        score = jnp.stack([q.log_prob(skey, z) for q in self.densities])
        return put(zs, j, z), log_q.at[j].set(score[j])

    def log_densities(self, z):
        return jnp.stack([known(q, z) for q in self.densities])


def _reparameterised(marginals) -> None:
    if not isinstance(marginals, AbstractReparameterised):
        raise TypeError(
            "Dependent draws share the normal noise they are made from: expected "
            f"densities with `to_noise`, such as `Normal`; got {type(marginals)}."
        )


class Correlated(AbstractProposals[Z]):
    """J-IWAE (Huang et al., 2019): element by element, the K normals behind the draws
    have the correlation matrix `A A^T`, with `A` the rows of `factor` at length one.

    `marginals` are K densities, stacked (`eqx.filter_vmap(Normal)(locs, log_scales)`).
    """

    marginals: AbstractReparameterised[Z]
    factor: Float[Array, "K R"]
    exact: ClassVar[bool] = True

    def __init__(
        self, marginals: AbstractReparameterised[Z], factor: Float[Array, "K R"]
    ):
        _reparameterised(marginals)
        self.marginals, self.factor = marginals, jnp.asarray(factor)
        arrays = jtu.tree_leaves(eqx.filter(marginals, eqx.is_array))
        sizes = {a.shape[:1] for a in arrays}
        if jnp.ndim(self.factor) != 2 or sizes - {(self.num,)}:
            raise ValueError(
                "Correlated: expected a factor of shape (K, R), K stacked marginals; "
                f"got shape {jnp.shape(self.factor)} and leading axes {sizes}."
            )
        concrete = not isinstance(self.factor, Tracer)
        if concrete and not np.all(np.any(self.factor != 0, axis=1)):
            raise ValueError(
                "Correlated: expected a factor without rows of zeros, as rows are set "
                f"to length one; got {self.factor}. `jnp.eye(K)` correlates no draws."
            )

    @property
    def num(self):
        return self.factor.shape[0]

    @property
    def correlation(self) -> Float[Array, "K K"]:
        rows = self._rows()
        return rows @ rows.T

    def _rows(self):
        return self.factor / jnp.linalg.norm(self.factor, axis=1, keepdims=True)

    def _noise(self, key):
        keys = particle_keys(key, self.factor.shape[1])
        raw = jax.vmap(take(self.marginals, 0).noise)(keys)
        return jtu.tree_map(lambda e: jnp.tensordot(self._rows(), e, 1), raw)

    def _explain(self, noise):
        zs = jax.vmap(lambda q, e: q.from_noise(e))(self.marginals, noise)
        return zs, jax.vmap(lambda q, z: q.log_density(z))(self.marginals, zs)

    def sample_and_log_prob(self, key):
        return self._explain(self._noise(key))

    def conditional(self, key, j, z):
        # Matheron's rule: noise + C[:, j] (given - noise_j) has the conditional law.
        q = take(self.marginals, j)
        column = self._rows() @ self._rows()[j]
        shift = lambda e, given: e + jnp.multiply.outer(column, given - e[j])
        zs, log_q = self._explain(jtu.tree_map(shift, self._noise(key), q.to_noise(z)))
        return put(zs, j, z), log_q.at[j].set(q.log_density(z))

    def log_densities(self, z):
        return jax.vmap(lambda q: q.log_density(z))(self.marginals)


class Antithetic(AbstractProposals[Z]):
    """`pairs` pairs from one density, made from noise of both signs."""

    density: AbstractReparameterised[Z]
    pairs: int = eqx.field(static=True)
    exact: ClassVar[bool] = True

    def __init__(self, density: AbstractReparameterised[Z], pairs: int = 1):
        _reparameterised(density)
        check_at_least("Antithetic: pairs", pairs, 1)
        self.density, self.pairs = density, pairs

    @property
    def num(self):
        return 2 * self.pairs

    def _explain(self, noise):
        both = jtu.tree_map(lambda e: jnp.concatenate([e, -e]), noise)
        zs = jax.vmap(self.density.from_noise)(both)
        return zs, jax.vmap(self.density.log_density)(zs)

    def _noise(self, key):
        return jax.vmap(self.density.noise)(particle_keys(key, self.pairs))

    def sample_and_log_prob(self, key):
        return self._explain(self._noise(key))

    def conditional(self, key, j, z):
        sign = jnp.where(j < self.pairs, 1, -1)
        given = jtu.tree_map(lambda e: sign * e, self.density.to_noise(z))
        noise = put(self._noise(key), j % self.pairs, given)
        zs, log_q = self._explain(noise)
        return put(zs, j, z), log_q.at[j].set(self.density.log_density(z))

    def log_densities(self, z):
        return jnp.full(self.num, self.density.log_density(z))


def as_proposals(
    proposals: AbstractProposals[Z] | Sequence[AbstractDensity[Z]],
) -> AbstractProposals[Z]:
    """A list of densities is drawn from independently."""
    if isinstance(proposals, AbstractProposals):
        return proposals
    return Separate(proposals)
