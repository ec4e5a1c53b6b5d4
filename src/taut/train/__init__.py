"""Training: `fit`, its phases, loops and validation. Knows no probability."""

from .driver import FitResult as FitResult
from .fit import fit as fit
from .loop import CompiledLoop as CompiledLoop
from .loop import HostLoop as HostLoop
from .phase import Context as Context
from .phase import Phase as Phase
from .phase import only as only
from .state import TrainState as TrainState
from .state import averaged as averaged
from .trouble import Interrupted as Interrupted
from .trouble import NonFiniteError as NonFiniteError
from .validation import Validation as Validation
