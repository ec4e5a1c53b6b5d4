"""Energy-inspired models (Lawson et al., 2019): laws that samplers induce, as models of
points, as priors of VAEs, and on top of VAEs.

Energy-Inspired Models: Learning with Sampler-Induced Distributions, and Revisiting
Auxiliary Latent Variables in Generative Models.
"""

from . import coins, mutual, planes, ranking, sweeps
from .presets import PRESETS as PRESETS

# name -> draw(folder, budget)
FIGURES = {
    "figure1": planes.draw,
    "figure2": planes.draw,
    "figure3": sweeps.draw,
    "energies": planes.draw,
    "consistency": ranking.draw,
    "gradients": coins.draw,
    "information": mutual.draw,
}
