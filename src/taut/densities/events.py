"""What kind of events a density has."""

import equinox as eqx
import jax.random as jr

from ..core.combine import Averaged, Joint, Marginal
from ..core.density import AbstractDensity, AbstractExact
from .indexed_rejection import IndexedTruncatedRejection
from .self_normalized import SelfNormalized
from .transformed import Transformed
from .truncated_rejection import TruncatedRejection


def is_discrete(density: AbstractDensity) -> bool:
    """Whether events are known to be coins, counts, categories or pixel levels."""
    match density:
        case Averaged(density=base) | Transformed(base=base):
            return is_discrete(base)
        case (
            SelfNormalized(proposal=base)
            | TruncatedRejection(proposal=base)
            | IndexedTruncatedRejection(proposal=base)
        ):
            return is_discrete(base)  # one of its events
        case Marginal(joint=Joint(prior=prior, likelihood=likelihood)):
            make = lambda key: likelihood(prior.sample(key))
            return is_discrete(eqx.filter_eval_shape(make, jr.key(0)))
        case AbstractExact(discrete=discrete):
            return discrete
    return False
