"""Distributions of other libraries."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, Float

from ..core.checks import check_shape
from ..core.density import AbstractExact


class Exact(AbstractExact[Array]):
    """A NumPyro or FlowJAX distribution; its batch dimensions belong to the event.

    Coins and counts come back as floats, categories as integers.
    """

    distribution: Any

    def __init__(self, distribution: Any):
        if not _is_numpyro(distribution):
            _check_flowjax(distribution)
        # NumPyro keeps Python numbers as they are; parameters are arrays here.
        as_array = lambda leaf: jnp.asarray(leaf) if isinstance(leaf, float) else leaf
        self.distribution = jtu.tree_map(as_array, distribution)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one event."""
        if _is_numpyro(self.distribution):
            return self.distribution.batch_shape + self.distribution.event_shape
        return self.distribution.shape

    @property
    def reparameterised(self):
        if _is_numpyro(self.distribution):
            return bool(self.distribution.has_rsample) and not self.discrete
        return not _has_mixture(self.distribution)

    @property
    def discrete(self) -> bool:
        """Whether events are coins, counts or categories."""
        return _is_numpyro(self.distribution) and bool(
            self.distribution.support.is_discrete
        )

    def draw(self, key):
        x = self.distribution.sample(key)
        if self.discrete and not _is_category(self.distribution):
            return x.astype(float)
        return x

    def log_density(self, x):
        check_shape(f"Exact({type(self.distribution).__name__})", self.shape, x)
        if not _is_numpyro(self.distribution):
            return self.distribution.log_prob(x)
        inside, x = _inside(self.distribution.support, x)
        log_prob = jnp.sum(self.distribution.log_prob(x))
        return jnp.where(inside, log_prob, -jnp.inf)


def _inside(support: Any, x: Array) -> tuple[Float[Array, ""] | bool, Array]:
    """Whether `x` lies in a support that is checked element by element, and a point
    that does: NumPyro's own `log_prob` is silent about points outside.
    """
    from numpyro.distributions import constraints

    while isinstance(support, type(constraints.independent(constraints.real, 1))):
        support = support.base_constraint
    if support.event_dim > 0 or support is constraints.real:
        return True, x
    inside = support(x)
    feasible = jnp.asarray(support.feasible_like(x)).astype(jnp.result_type(x))
    return jnp.all(inside), jnp.where(inside, x, feasible)


def _is_numpyro(distribution: Any) -> bool:
    from numpyro.distributions import Distribution

    return isinstance(distribution, Distribution)


def _is_category(distribution: Any) -> bool:
    from numpyro import distributions as npd

    wrappers = (npd.Independent, npd.ExpandedDistribution, npd.MaskedDistribution)
    while isinstance(distribution, wrappers):
        distribution = distribution.base_dist
    return isinstance(distribution, npd.CategoricalProbs | npd.CategoricalLogits)


def _check_flowjax(distribution: Any) -> None:
    expected = (
        "Expected a distribution of `numpyro.distributions` or of `flowjax`; got "
        f"{type(distribution).__name__}."
    )
    try:
        from flowjax.distributions import AbstractDistribution
    except ImportError as error:
        hint = " FlowJAX is not installed: `pip install 'taut[flows]'`."
        raise TypeError(expected + hint) from error
    if not isinstance(distribution, AbstractDistribution):
        raise TypeError(expected)
    if distribution.cond_shape is not None:
        raise ValueError(
            "Expected an unconditional distribution; got one that is conditioned on "
            f"events of shape {distribution.cond_shape}. Bind the condition first."
        )


def _has_mixture(distribution: Any) -> bool:
    """FlowJAX's only draws without a gradient are the components of mixtures."""
    from flowjax.distributions import VmapMixture

    is_mixture = lambda node: isinstance(node, VmapMixture)
    leaves = jax.tree.leaves(distribution, is_leaf=is_mixture)
    return any(is_mixture(leaf) for leaf in leaves)
