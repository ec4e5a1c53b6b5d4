"""How fast the networks learn."""

from dataclasses import dataclass

import optax

BLOCKS = 8  # of 3^i epochs each, i = 0 .. 7, at the rate 1e-3 10^(-i/7)


@dataclass(frozen=True)
class Blocks:
    """As published: Adam with an eps of 1e-4; its rate falls tenfold over eight blocks
    of tripling length.
    """

    learning_rate: float = 1e-3
    """At the start."""

    def __call__(self, steps: int) -> optax.GradientTransformation:
        epochs = [(3**i - 1) / 2 for i in range(1, BLOCKS)]
        whole = (3**BLOCKS - 1) / 2
        falls = {int(steps * e / whole): 10 ** (-1 / 7) for e in epochs}
        rate = optax.piecewise_constant_schedule(self.learning_rate, falls)
        return optax.adam(rate, eps=1e-4)


@dataclass(frozen=True)
class Cosine:
    """Ours, for runs too short for the blocks: Adam with its usual constants, and a
    rate that falls to zero by a cosine.
    """

    learning_rate: float = 3e-3
    """At the start."""

    def __call__(self, steps: int) -> optax.GradientTransformation:
        return optax.adam(optax.cosine_decay_schedule(self.learning_rate, steps))
