"""Importance sampling with independent draws."""

from collections.abc import Callable
from typing import Generic, TypeVar

import equinox as eqx

from ..core.checks import check_at_least, split
from ..core.combine import refuse_frozen
from ..core.density import AbstractDensity
from ..core.gradient import Draw, reparam
from ..core.sampler import AbstractSampler

X = TypeVar("X")
Z = TypeVar("Z")


class Importance(AbstractSampler[Z]):
    """`num` draws from `proposal`. One draw is the ELBO; more, the IWAE bound."""

    proposal: AbstractDensity[Z]
    num: int = eqx.field(static=True, default=1)
    draw: Draw = eqx.field(static=True, default=reparam)
    chunk: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_at_least("Importance: num", self.num, 1)
        check_at_least("Importance: chunk", self.chunk, 1)

    def run(self, key, target):
        return self.draw(key, target, self.proposal, self.num, self.chunk)

    def run_conditional(self, key, target, z, log_target):
        refuse_frozen(target, "`Importance.run_conditional`")
        rkey, qkey = split(key)
        log_weight = log_target - self.proposal.log_prob(qkey, z)
        return self.run(rkey, target).retain(0, z, log_target, log_weight)


class Amortized(eqx.Module, Generic[Z, X]):
    """`x -> Importance(guide(x), ...)`, with the guide's parameters in plain sight."""

    guide: Callable[[X], AbstractDensity[Z]]
    num: int = eqx.field(static=True, default=1)
    draw: Draw = eqx.field(static=True, default=reparam)
    chunk: int | None = eqx.field(static=True, default=None)

    def __call__(self, x: X) -> Importance[Z]:
        return Importance(self.guide(x), self.num, self.draw, self.chunk)
