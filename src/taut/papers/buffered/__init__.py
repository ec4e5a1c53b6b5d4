"""Training Variational Autoencoders with Buffered Stochastic Variational Inference (Shu
et al., 2019); the argument and the settings are in `docs/buffered.md`.
"""

from .figures import FIGURES as FIGURES
from .presets import PRESETS as PRESETS
