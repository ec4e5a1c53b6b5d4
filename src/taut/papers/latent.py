"""The pytree that most experiments train: a latent-variable model and its guide."""

from typing import Any

import equinox as eqx

from ..core.combine import Joint, Marginal
from ..core.density import AbstractDensity
from ..densities.conditional import Conditional
from ..samplers.importance import Amortized


class LatentModel(eqx.Module):
    """A prior, what it explains, and a guide to it."""

    prior: AbstractDensity
    likelihood: Conditional
    guide: Conditional

    @property
    def joint(self) -> Joint:
        """Of latents and example."""
        return Joint(self.prior, self.likelihood)

    def marginal(self, prior: Any = None, **importance: Any) -> Marginal:
        """Over examples; with another prior (a frozen one, say) where it is given."""
        joint = self.joint if prior is None else Joint(prior, self.likelihood)
        return Marginal(joint, Amortized(self.guide, **importance))
