"""Learning Deep Generative Models with Annealed Importance Sampling (Ding & Freedman).

The decoder follows the self-normalised posterior average at the ends of annealed
chains; the encoder, from which they start, its own ELBO.
"""

from ..experiment import Preset
from .figures import FIGURES as FIGURES
from .inference import AIS as AIS, IWAE as IWAE, MHHMC as MHHMC
from .persistent import Persistent as Persistent
from .rows import OURS, TABLE1, TABLE2
from .settings import AnnealedVAE as AnnealedVAE

PRESETS: tuple[Preset, ...] = (*TABLE1, *TABLE2, *OURS)
