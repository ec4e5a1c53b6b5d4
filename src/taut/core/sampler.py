"""The contract of samplers. With `Z` the unknown constant of the target,

    E_run[Z_hat h(Z_hat)]  =  Z E_conditional[h(Z_hat)]      for all bounded `h`,

where the conditional run is given an exact draw. Hence `E[Z_hat] = Z` and
`E[1 / Z_hat] = 1 / Z`: the constant from below, and from above.
"""

import abc
from typing import Generic, TypeVar

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from .density import AbstractTarget
from .particles import Particles

Z = TypeVar("Z")


class AbstractSampler(eqx.Module, Generic[Z]):
    """Aims weighted particles at a target."""

    @abc.abstractmethod
    def run(self, key: PRNGKeyArray, target: AbstractTarget[Z]) -> Particles[Z]:
        """Particles, and with them the constant from below."""

    @abc.abstractmethod
    def run_conditional(
        self,
        key: PRNGKeyArray,
        target: AbstractTarget[Z],
        z: Z,
        log_target: Float[Array, ""],
    ) -> Particles[Z]:
        """The particles of a run that went on to select `z`; the constant from above.

        `log_target` is the estimate of the target at `z` that the caller already holds:
        an estimate is part of the draw, it is passed on, never made again.
        """
