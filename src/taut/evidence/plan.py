"""What the pilot decided, and the final run of it."""

from dataclasses import dataclass

import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .methods import Method
from .runs import Record, run_conditional_many, run_many
from .target import Whitened


@dataclass(frozen=True)
class Plan:
    """What the pilot decided: frozen before the final run starts."""

    method: Method
    length: int
    runs: int
    level: float

    def run(
        self, key: PRNGKeyArray, target: Whitened, points: Float[Array, "R D"] | None
    ) -> tuple[Record, Record | None]:
        """The final runs of both ends, with fresh keys."""
        lkey, ukey = jr.split(key)
        sampler = self.method.build(self.length)
        how = self.method.at_once, self.method.jit(self.length)
        low = run_many(jr.split(lkey, self.runs), sampler, target, *how)
        if points is None:
            return low, None
        keys = jr.split(ukey, len(points))
        return low, run_conditional_many(keys, sampler, target, points, *how)

    def evaluations(self, conditional: int) -> int:
        return self.method.cost(self.length) * (self.runs + conditional)

    def __str__(self):
        unit = self.method.settings.get("length", "length")
        parts = [self.method.name, f"{self.length:,} {unit}", f"{self.runs} runs"]
        if self.method.settings.get("guide") == "flow":
            parts.append("flow guide")
        return ", ".join(parts)
