"""Linear-Gaussian models whose evidence and posterior are known, to judge bounds by.

`z ~ N(0, I)`, `x ~ N(W z + b, s^2 I)` with orthogonal columns of `W`. That is no loss:
`z` may be rotated, and any `W` has the form `U diag(d) V'`. The posterior then has
independent elements, which guides of independent elements can be measured against.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ... import data
from ...core.combine import Joint, Marginal
from ...densities.normal import Normal
from ...samplers.importance import Amortized


class Decoder(eqx.Module):
    """`z -> N(W z + b, s^2 I)`."""

    weight: Float[Array, "D d"]
    offset: Float[Array, " D"]
    log_scale: Float[Array, ""]

    def __call__(self, z):
        loc = self.weight @ z + self.offset
        return Normal(loc, jnp.broadcast_to(self.log_scale, loc.shape))


class Guide(eqx.Module):
    """The posterior, `off` of its standard deviations away and `wide` times as wide."""

    decoder: Decoder
    off: float = eqx.field(static=True, default=0.5)
    wide: float = eqx.field(static=True, default=1.3)

    def __call__(self, x):
        loc, scale = moments(self.decoder, x)
        return Normal(loc + self.off * scale, jnp.log(self.wide * scale))


class Linear(eqx.Module):
    """A model with its guide; both `log p(x)` and the posterior have closed forms."""

    decoder: Decoder

    @property
    def joint(self) -> Joint:
        return Joint(self.prior, self.decoder)

    @property
    def prior(self) -> Normal:
        zeros = jnp.zeros(self.decoder.weight.shape[1])
        return Normal(zeros, zeros)

    @property
    def marginal(self) -> Marginal:
        """With the guide half a posterior deviation off and 1.3 times too wide."""
        return Marginal(self.joint, Amortized(Guide(self.decoder)))

    def posterior(self, x: Float[Array, " D"]) -> Normal:
        return Guide(self.decoder, 0.0, 1.0)(x)

    def log_evidence(self, x: Float[Array, " D"]) -> Float[Array, ""]:
        """`log N(x; b, W W' + s^2 I)` by Bayes' rule at the posterior mean."""
        at = self.posterior(x).loc
        joint = self.prior.log_density(at) + self.decoder(at).log_density(x)
        return joint - self.posterior(x).log_density(at)

    def examples(self, key: Array, num: int) -> Float[Array, "num D"]:
        """Drawn from the model."""
        draw = lambda key: self.joint.sample(key)[1]
        return jax.vmap(draw)(jax.random.split(key, num))


def moments(decoder: Decoder, x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the posterior."""
    noise = jnp.exp(2 * decoder.log_scale)
    precision = 1 + jnp.sum(decoder.weight**2, axis=0) / noise
    loc = decoder.weight.T @ (x - decoder.offset) / noise / precision
    return loc, precision**-0.5


def divergences(q: Normal, p: Normal) -> Float[Array, ""]:
    """`KL(q || p) + KL(p || q)`."""
    a, b = jnp.exp(2 * q.log_scale), jnp.exp(2 * p.log_scale)
    apart = (q.loc - p.loc) ** 2 * (1 / a + 1 / b)
    return 0.5 * jnp.sum(a / b + b / a - 2 + apart)


def linear_gaussian(latent: int) -> Linear:
    """Twice as many observed dimensions; the noise has unit variance, and what the
    latents contribute between a quarter of it and four times as much.
    """
    rng = np.random.default_rng(latent)
    columns, _ = np.linalg.qr(rng.standard_normal((2 * latent, latent)))
    weight = columns * np.linspace(0.5, 2.0, latent)
    offset = rng.standard_normal(2 * latent)
    return Linear(Decoder(jnp.asarray(weight), jnp.asarray(offset), jnp.zeros(())))


def principal_components(latent: int = 10) -> Linear:
    """Probabilistic PCA of the 8 x 8 digits at its maximum of likelihood (Tipping and
    Bishop, 1999), with grey values between 0 and 1.
    """
    x = data.load("digits", "train").images.reshape(-1, 64) / 16.0
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    noise = values[:-latent].mean()
    weight = vectors[:, -latent:] * np.sqrt(values[-latent:] - noise)
    scale = 0.5 * jnp.log(jnp.asarray(noise))
    return Linear(Decoder(jnp.asarray(weight), jnp.asarray(x.mean(0)), scale))


def models() -> dict[str, Linear]:
    """Those that the coverage is measured on."""
    named = {f"linear-Gaussian, {d}": linear_gaussian(d) for d in (2, 10, 50)}
    return named | {"probabilistic PCA, 10": principal_components()}
