"""Models that can be scored and sampled, and bound nothing."""

from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

from ...core.checks import split
from ...core.combine import Joint, Marginal
from ...core.density import AbstractTarget
from ...densities.transformed import Transformed


class Unbounded(eqx.Module):
    """A target whose scores bound nothing in either direction: no density, so that
    evaluation computes no upper end and calls the lower one what it is.
    """

    target: AbstractTarget

    def log_prob(self, key: PRNGKeyArray, x: Any) -> Any:
        """The score."""
        return self.target.log_prob(key, x)

    def sample(self, key: PRNGKeyArray) -> Any:
        """One event, from the model."""
        return ancestral(key, self.target)


def ancestral(key: PRNGKeyArray, target: Any) -> Any:
    """A draw, layer by layer, where some layer has `sample` and no estimate."""
    if isinstance(target, Marginal):
        return ancestral(key, target.joint)[1]
    if isinstance(target, Joint):
        zkey, xkey = split(key)
        z = ancestral(zkey, target.prior)
        return z, ancestral(xkey, target.likelihood(z))
    if isinstance(target, Transformed):
        return target.scale.from_base(ancestral(key, target.base))[0]
    return target.sample(key)
