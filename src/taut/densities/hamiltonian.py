"""Tempered Hamiltonian dynamics as a density."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from ..core.checks import check_scalar, check_shape, split
from ..core.density import AbstractDensity
from ..core.leapfrog import leapfrog
from .events import is_discrete
from .normal import StandardNormal


class Hamiltonian(AbstractDensity[tuple[Array, Array]]):
    """Momentum and position after tempered leapfrog steps down `energy` from
    `proposal`.

    The momentum starts at `alpha_0 N(0, I)` and step t ends by scaling it with
    `alpha_t`; `alpha_0 = 1 / (alpha_1 .. alpha_T)`, so that the Jacobian is one. Step
    sizes (one, or one per element) are a softplus, temperatures a sigmoid of what is
    learned: a temperature of exactly one stays one, a step of exactly zero stays zero.
    """

    proposal: AbstractDensity[Array]
    energy: Callable[[Array], Float[Array, ""]]
    raw_step_size: Float[Array, "*#shape"]
    raw_alphas: Float[Array, " T"]

    def __init__(
        self,
        proposal: AbstractDensity[Array],
        energy: Callable[[Array], Float[Array, ""]],
        step_size: Float[Array, "*#shape"] | float,
        alphas: Float[Array, " T"],
    ):
        if is_discrete(proposal):
            raise TypeError(
                "Hamiltonian: expected a proposal over continuous events; got a "
                f"discrete {type(proposal).__name__}. Dequantise the data, or use "
                "SelfNormalized or TruncatedRejection."
            )
        step_size, alphas = jnp.asarray(step_size), jnp.asarray(alphas)
        if alphas.ndim != 1 or alphas.shape[0] < 1:
            raise ValueError(
                "Hamiltonian: alphas must have shape (T,) with T of at least 1, one "
                f"for each leapfrog step; got shape {alphas.shape}."
            )
        _check_values(
            "step_size must be finite and not negative",
            step_size,
            lambda s: (0 <= s) & (s < jnp.inf),
        )
        _check_values("alphas must lie in (0, 1]", alphas, lambda a: (0 < a) & (a <= 1))
        self.proposal, self.energy = proposal, energy
        # The inverse of softplus, also where exp(step_size) overflows.
        self.raw_step_size = step_size + jnp.log(-jnp.expm1(-step_size))
        self.raw_alphas = jnp.log(alphas) - jnp.log1p(-alphas)

    @property
    def exact(self):
        return self.proposal.exact

    @property
    def reparameterised(self):
        return self.proposal.reparameterised

    @property
    def step_size(self) -> Float[Array, "*#shape"]:
        """How far one step goes, per element."""
        return jax.nn.softplus(self.raw_step_size)

    @property
    def alphas(self) -> Float[Array, " T"]:
        """The temperatures after each step."""
        return jax.nn.sigmoid(self.raw_alphas)

    def sample_and_log_prob(self, key):
        xkey, mkey = split(key)
        x, log_position = self.proposal.sample_and_log_prob(xkey)
        m, log_momentum = StandardNormal(jnp.shape(x)).sample_and_log_prob(mkey)
        return self.flow(m, x), log_position + log_momentum

    def log_prob(self, key, x):
        xkey, mkey = split(key)
        m, x = self.inverse(*x)
        log_momentum = StandardNormal(jnp.shape(m)).log_prob(mkey, m)
        return self.proposal.log_prob(xkey, x) + log_momentum

    def flow(self, momentum: Array, position: Array) -> tuple[Array, Array]:
        """From the start to the end; the Jacobian is one."""
        momentum, step_size, log_alphas = self._checked(momentum, position)

        def step(state, log_alpha):
            x, m, slope = state
            x, m, slope, _ = leapfrog(self._slope, step_size, x, m, slope)
            return (x, m * jnp.exp(log_alpha), slope), None

        momentum = momentum * jnp.exp(-jnp.sum(log_alphas))
        start = position, momentum, self._slope(position)[0]
        (position, momentum, _), _ = lax.scan(step, start, log_alphas)
        return momentum, position

    def inverse(self, momentum: Array, position: Array) -> tuple[Array, Array]:
        """From the end to the start."""
        momentum, step_size, log_alphas = self._checked(momentum, position)

        def step(state, log_alpha):
            x, m, slope = state
            m = m * jnp.exp(-log_alpha)
            x, m, slope, _ = leapfrog(self._slope, -step_size, x, m, slope)
            return (x, m, slope), None

        end = position, momentum, self._slope(position)[0]
        (position, momentum, _), _ = lax.scan(step, end, log_alphas, reverse=True)
        return momentum * jnp.exp(jnp.sum(log_alphas)), position

    def _slope(self, x):
        return -jax.grad(lambda x: check_scalar("The energy", self.energy(x)))(x), None

    def _checked(self, momentum, position):
        """The momentum, step sizes and log temperatures, in the type of positions."""
        shape, dtype = jnp.shape(position), jnp.result_type(position)
        check_shape("Hamiltonian", shape, momentum)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"Hamiltonian: expected real numbers as events; got {dtype}. "
                "Dequantise discrete data first."
            )
        if self.step_size.shape not in ((), shape):
            raise ValueError(
                "Hamiltonian: step_size must have shape () or that of events, "
                f"{shape}; got {self.step_size.shape}."
            )
        log_alphas = jax.nn.log_sigmoid(self.raw_alphas)
        arrays = momentum, self.step_size, log_alphas
        return [jnp.asarray(a, dtype) for a in arrays]


def _check_values(what: str, array: Array, holds: Callable[[Array], Array]) -> None:
    """Where the values are known (not under `jit`), check them."""
    if isinstance(array, Tracer) or np.all(holds(array)):
        return
    raise ValueError(f"Hamiltonian: {what}; got {array}.")


class HamiltonianImportance(AbstractDensity[Array]):
    """The position of a `Hamiltonian` alone (HIS; Lawson et al., 2019): its momentum is
    summed out by one draw from `momentum(x)`.
    """

    hamiltonian: Hamiltonian
    momentum: Callable[[Array], AbstractDensity[Array]]
    exact: ClassVar[bool] = False

    def __init__(
        self,
        proposal: AbstractDensity[Array],
        energy: Callable[[Array], Float[Array, ""]],
        step_size: Float[Array, "*#shape"] | float,
        alphas: Float[Array, " T"],
        momentum: Callable[[Array], AbstractDensity[Array]],
    ):
        self.hamiltonian = Hamiltonian(proposal, energy, step_size, alphas)
        self.momentum = momentum

    @property
    def reparameterised(self):
        return self.hamiltonian.reparameterised

    def sample_and_log_prob(self, key):
        hkey, mkey = split(key)
        (m, x), log_joint = self.hamiltonian.sample_and_log_prob(hkey)
        return x, log_joint - self.momentum(x).log_prob(mkey, m)

    def log_prob(self, key, x):
        mkey, hkey = split(key)
        m, log_momentum = self.momentum(x).sample_and_log_prob(mkey)
        return self.hamiltonian.log_prob(hkey, (m, x)) - log_momentum
