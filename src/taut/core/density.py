"""The contract of densities. Both operations return the log of a positive number, and
are two views of one extended distribution of events and numbers:

    E_{(x, l) ~ sample_and_log_prob}[f(x) h(l)]  =  integral f(x) E[e^s h(s)] dx,

with `s = log_prob(x)`, for all bounded `f` and `h`. Hence

| operation             | on average                      | so                   |
|-----------------------|---------------------------------|----------------------|
| `log_prob`            | `E[p_hat] = p(x)`               | `log p_hat <= log p` |
| `sample_and_log_prob` | `E[1 / p_hat given x] = 1/p(x)` | `log p_hat >= log p` |

but the two consequences alone would not let densities nest: the law does.
"""

import abc
from typing import ClassVar, Generic, TypeVar

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .checks import check_scalar, split

X = TypeVar("X")
S = TypeVar("S")
Y = TypeVar("Y")


class AbstractTarget(eqx.Module, Generic[X]):
    """An unnormalised density over one event (any pytree); batch with `jax.vmap`."""

    @property
    @abc.abstractmethod
    def exact(self) -> bool:
        """Is `log_prob` one function of `x`, free of its key?"""

    @abc.abstractmethod
    def log_prob(self, key: PRNGKeyArray, x: X) -> Float[Array, ""]:
        """Estimate the density at `x`, from below."""


class AbstractDensity(AbstractTarget[X]):
    """A target that integrates to one and can be sampled."""

    @property
    @abc.abstractmethod
    def reparameterised(self) -> bool:
        """Do gradients flow through a sample?"""

    @abc.abstractmethod
    def sample_and_log_prob(self, key: PRNGKeyArray) -> tuple[X, Float[Array, ""]]:
        """Draw an event and estimate the density there, from above."""

    def sample(self, key: PRNGKeyArray) -> X:
        """Draw an event and drop the estimate (under `jit`, its computation too)."""
        return self.sample_and_log_prob(key)[0]


class AbstractExact(AbstractDensity[X]):
    """A density whose value is known: both estimates are exact, free of keys."""

    exact: ClassVar[bool] = True
    discrete: ClassVar[bool] = False  # no kernel moves events that are (also as floats)

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray) -> X:
        """Draw one event."""

    @abc.abstractmethod
    def log_density(self, x: X) -> Float[Array, ""]:
        """The log density at one event."""

    def sample_and_log_prob(self, key):
        x = self.draw(split(key, 1)[0])
        return x, self.log_prob(key, x)

    def log_prob(self, key, x):
        del key
        return check_scalar(f"{type(self).__name__}.log_density", self.log_density(x))


class AbstractReparameterised(AbstractExact[X]):
    """An exact density whose draws are an invertible function of standard normal noise.

    The noise knows no parameters, so a point that was given can be explained by the
    noise that would have drawn it (clamped refinements, dependent draws).
    """

    reparameterised: ClassVar[bool] = True

    @abc.abstractmethod
    def noise(self, key: PRNGKeyArray) -> PyTree[Float[Array, "..."]]:
        """Independent standard normals."""

    @abc.abstractmethod
    def from_noise(self, noise: PyTree[Float[Array, "..."]]) -> X:
        """The draw that this noise makes."""

    @abc.abstractmethod
    def to_noise(self, x: X) -> PyTree[Float[Array, "..."]]:
        """The noise that makes this draw."""

    def draw(self, key):
        return self.from_noise(self.noise(key))


class AbstractSequence(AbstractDensity[tuple[S, Y]], Generic[S, Y]):
    """States that unfold in time, and what is observed of them; every leaf has a
    leading axis of time. `log_prob` is the sum of the two methods below over time.
    """

    length: eqx.AbstractVar[int]

    @abc.abstractmethod
    def log_first(self, key: PRNGKeyArray, state: S, observed: Y) -> Float[Array, ""]:
        """Of the first state and what is observed of it."""

    @abc.abstractmethod
    def log_next(
        self, key: PRNGKeyArray, before: S, state: S, observed: Y
    ) -> Float[Array, ""]:
        """Of a later state, given the one before, and what is observed of it."""
