"""Both ends of a trained model's log-likelihood, example by example.

The key of example `i` is `fold_in(key, i)`: results depend neither on blocks nor on
chunks, and a run that stopped goes on where it was.
"""

from .annealing import AnnealedEnds as AnnealedEnds, CollapsedError as CollapsedError
from .ends import (
    End as End,
    example_keys as example_keys,
    gather as gather,
    lowered as lowered,
    summary as summary,
    weigh as weigh,
)
from .importance import both_ends as both_ends, lower_end as lower_end
from .latent import rate_and_distortion as rate_and_distortion
