"""Energy-inspired models (Lawson et al., 2019): laws that samplers induce, as models of
points, as priors of VAEs, and on top of VAEs.

Energy-Inspired Models: Learning with Sampler-Induced Distributions, and Revisiting
Auxiliary Latent Variables in Generative Models.
"""

from .presets import PRESETS as PRESETS
