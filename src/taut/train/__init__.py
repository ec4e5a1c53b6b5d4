"""Training: `fit`, its phases, loops and validation. Knows no probability."""

from .driver import FitResult as FitResult
from .fit import fit as fit
from .loop import CompiledLoop as CompiledLoop, HostLoop as HostLoop
from .phase import (
    EXAMPLES as EXAMPLES,
    Context as Context,
    Phase as Phase,
    only as only,
)
from .state import TrainState as TrainState, averaged as averaged
from .trouble import (
    Interrupted as Interrupted,
    NonFiniteError as NonFiniteError,
    PeerLostError as PeerLostError,
)
from .validation import Validation as Validation
