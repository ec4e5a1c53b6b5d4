"""The two-dimensional targets of the energy-inspired papers, with their ceilings."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import ndtr
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from ..core.checks import check_shape
from ..core.density import AbstractExact
from ..core.numerics import log_mean_exp

_GRID = 400_000  # points of the one-dimensional integrals behind `ceiling`


class NineGaussians(AbstractExact[Float[Array, "2"]]):
    """Equal Gaussians on the grid {-1, 0, 1}^2."""

    variance: float = eqx.field(static=True, default=0.01)
    reparameterised: ClassVar[bool] = False

    def draw(self, key):
        ckey, nkey = jr.split(key)
        centre = jr.randint(ckey, (2,), -1, 2).astype(float)
        return centre + math.sqrt(self.variance) * jr.normal(nkey, (2,))

    def log_density(self, x):
        check_shape("NineGaussians", (2,), x)
        centres = jnp.array([-1.0, 0.0, 1.0], x.dtype)[:, None]
        logs = norm.logpdf(x, centres, math.sqrt(self.variance))
        return jnp.sum(jax.vmap(log_mean_exp, 1)(logs))

    @property
    def ceiling(self) -> float:
        """`E[log p]`: no model's average log density can be higher."""
        scale = math.sqrt(self.variance)
        x = np.linspace(-1 - 12 * scale, 1 + 12 * scale, _GRID)
        density = sum(_normal(x, centre, scale) for centre in (-1, 0, 1)) / 3
        return 2 * _mean_log(x, density, density)


class Checkerboard(AbstractExact[Float[Array, "2"]]):
    """Uniform on the 8 of 16 squares of `[low, high]^2` with `i + j` even."""

    low: float = eqx.field(static=True, default=-2.0)
    high: float = eqx.field(static=True, default=2.0)
    reparameterised: ClassVar[bool] = False

    def __check_init__(self):
        if not self.low < self.high:
            raise ValueError(f"low must be below high; got {self.low}, {self.high}.")

    def draw(self, key):
        ikey, jkey, ukey = jr.split(key, 3)
        i = jr.randint(ikey, (), 0, 4)
        j = 2 * jr.randint(jkey, (), 0, 2) + i % 2
        square = jnp.stack([i, j]) + jr.uniform(ukey, (2,))
        return self.low + (self.high - self.low) / 4 * square

    def log_density(self, x):
        check_shape("Checkerboard", (2,), x)
        square = jnp.floor(4 * (x - self.low) / (self.high - self.low))
        within = jnp.all((square >= 0) & (square < 4))
        return jnp.where(within & (jnp.sum(square) % 2 == 0), self.ceiling, -jnp.inf)

    @property
    def ceiling(self) -> float:
        """`E[log p]`: no model's average log density can be higher."""
        return -math.log((self.high - self.low) ** 2 / 2)


class Rings(AbstractExact[Float[Array, "2"]]):
    """Two rings by the papers' formula, `p ~ N(r; 0.6, 0.1) + N(r; 1.3, 0.1)` as a
    density of the plane, so that the outer ring weighs more.
    """

    radii: tuple[float, ...] = eqx.field(static=True, default=(0.6, 1.3))
    scale: float = eqx.field(static=True, default=0.1)
    reparameterised: ClassVar[bool] = False

    @property
    def normaliser(self) -> float:
        """Of the sum of the normals, over the plane."""
        # integral of s N(s; m, scale) over s > 0 = m Phi(m/scale) + scale phi(m/scale)
        ends = [(m, m / self.scale) for m in self.radii]
        bell = lambda u: math.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
        masses = [m * _ndtr(u) + self.scale * bell(u) for m, u in ends]
        return 2 * math.pi * sum(masses)

    def draw(self, key):
        ukey, akey = jr.split(key)
        goal = jr.uniform(ukey) * self.normaliser / (2 * jnp.pi)

        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            below = sum(self._below(middle, m) for m in self.radii) < goal
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        # The distribution function of the radius, inverted by bisection.
        ends = jnp.zeros(()), jnp.asarray(max(self.radii) + 12 * self.scale, float)
        radius = lax.fori_loop(0, 60, halve, ends)[0]
        return radius * _direction(akey)

    def log_density(self, x):
        check_shape("Rings", (2,), x)
        return self._log_total(_radius(x)) - math.log(self.normaliser)

    @property
    def ceiling(self) -> float:
        """`E[log p]`: no model's average log density can be higher."""
        r = np.linspace(0, max(self.radii) + 12 * self.scale, _GRID)
        density = sum(_normal(r, m, self.scale) for m in self.radii) / self.normaliser
        return _mean_log(r, 2 * math.pi * r * density, density)

    def _log_total(self, r):
        return jax.nn.logsumexp(norm.logpdf(r, jnp.array(self.radii), self.scale))

    def _below(self, r, radius):
        """`integral_0^r s N(s; radius, scale) ds`."""
        end, start = (r - radius) / self.scale, -radius / self.scale
        kicks = norm.pdf(end) - norm.pdf(start)
        return radius * (ndtr(end) - ndtr(start)) - self.scale * kicks


class RadialRings(AbstractExact[Float[Array, "2"]]):
    """Two rings as the papers' code draws them: the radius from an even mixture of
    normals, the angle uniform.
    """

    radii: tuple[float, ...] = eqx.field(static=True, default=(0.6, 1.3))
    scale: float = eqx.field(static=True, default=0.1)
    reparameterised: ClassVar[bool] = False

    def draw(self, key):
        ckey, nkey, akey = jr.split(key, 3)
        radius = jr.choice(ckey, jnp.array(self.radii)) + self.scale * jr.normal(nkey)
        return radius * _direction(akey)

    def log_density(self, x):
        check_shape("RadialRings", (2,), x)
        r = _radius(x)
        # A radius below zero (one draw in 10^9) lands on the other side.
        signed = jnp.stack([r, -r])[:, None]
        logs = norm.logpdf(signed, jnp.array(self.radii), self.scale)
        log_f = jax.nn.logsumexp(logs) - math.log(len(self.radii))
        return log_f - jnp.log(2 * jnp.pi * r)

    @property
    def ceiling(self) -> float:
        """`E[log p]`: no model's average log density can be higher."""
        r = np.linspace(0, max(self.radii) + 12 * self.scale, _GRID)[1:]
        fold = lambda m: _normal(r, m, self.scale) + _normal(-r, m, self.scale)
        f = sum(fold(m) for m in self.radii) / len(self.radii)
        return _mean_log(r, f, f / (2 * math.pi * r))


def _direction(key):
    angle = jr.uniform(key, maxval=2 * jnp.pi)
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def _radius(x):
    """The distance from the origin, with a finite gradient there."""
    return jnp.sqrt(jnp.maximum(jnp.sum(x**2), jnp.finfo(x.dtype).tiny))


def _ndtr(u: float) -> float:
    return 0.5 * math.erfc(-u / math.sqrt(2))


def _normal(x, loc, scale):
    return np.exp(-0.5 * ((x - loc) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))


def _mean_log(x, law, density) -> float:
    """`integral of law(x) log density(x) dx`, by the trapezium rule."""
    logs = np.log(np.where(density > 0, density, 1.0))
    return float(np.trapezoid(law * logs, x))
