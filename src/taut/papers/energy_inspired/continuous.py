"""Grey and colour images as densities on [0, 256)^D: laws on top of Gaussian VAEs."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from ...core.combine import Marginal
from ...data.transforms import logit_inverse, logit_transform
from ...densities.conditional import Conditional
from ...densities.exact import Exact
from ...densities.normal import Normal, StandardNormal
from ...densities.transformed import AbstractScale, Transformed
from ...nn.constant import Constant
from ...nn.networks import large_vae, pixel_energy, small_vae
from .. import images
from ..latent import LatentModel
from .binary import check_range
from .laws import Proposal
from .settings import AbstractEnergyExperiment


class LogitScale(AbstractScale[Array, Array]):
    """`u = logit(lam + (1 - 2 lam) x / 256) - logit(mean)`, flat, for x in [0, 256)."""

    center: Constant
    shape: tuple[int, ...] = eqx.field(static=True)
    lam: float = eqx.field(static=True)

    def __init__(self, mean: Float[Array, "*shape"], lam: float = 1e-6):
        self.center = Constant(jnp.ravel(logit_transform(mean, lam=lam)[0]))
        self.shape, self.lam = jnp.shape(mean), lam

    def to_base(self, x):
        low, high = self._ends(x.dtype)
        inside = jnp.all((x > low) & (x < high))
        u, log_det = logit_transform(jnp.where(inside, x, 128.0), lam=self.lam)
        return jnp.ravel(u) - self.center(), jnp.where(inside, log_det, -jnp.inf)

    def from_base(self, u):
        x, log_det = logit_inverse(u + self.center(), lam=self.lam)
        # Rounding must not carry a draw out of the support: one unit further in.
        low, high = self._ends(x.dtype)
        inward = 1 - jnp.finfo(x.dtype).eps
        x = jnp.clip(x, low * inward, high * inward)
        return x.reshape(self.shape), -log_det

    def _ends(self, dtype):
        """The reals reach `lam` beyond either end of [0, 256)."""
        beyond = 256 * self.lam / (1 - 2 * self.lam)
        return jnp.asarray(-beyond, dtype), jnp.asarray(256 + beyond, dtype)


class OnLogits(eqx.Module):
    """What a law built over `u`, and the way from `x` there."""

    base: Any
    scale: LogitScale

    def over(self, base: Any) -> Transformed:
        """`base` as a density of images."""
        return Transformed(base, self.scale)


@dataclass(frozen=True, kw_only=True)
class AbstractContinuous(AbstractEnergyExperiment):
    """Images with uniform noise added, the density reported on [0, 256)^D."""

    dataset: str = "mnist"
    """mnist, fashion_mnist or celeba."""
    lam: float = 1e-6
    """Distance that logits keep from 0 and 1; the code's is 5e-7."""

    def data(self):
        splits = images.continuous(self.dataset, "energy-inspired")
        for part in (splits.test, splits.valid):
            check_range(self.dataset, part, 0.0, 256.0, open=True)
        return splits

    def part(self, model):
        return model.base

    def objective(self, model, context, x):
        target, aux = self.law.aim(model.base, context.state, context.shared)
        value = model.over(target).log_prob(context.key, x)
        return value, {"bound": value} | aux

    def density(self, model, state):
        return self.law.density(model.base, state, model.over)

    def shared(self, model, state, key):
        return model.over(self.law.shared(model.base, state, key))


@dataclass(frozen=True, kw_only=True)
class ContinuousEnergy(AbstractContinuous):
    """A law on a Gaussian VAE, in logit space."""

    large: bool = False
    """2 x 300 and 50 latents, rather than 1 x 20 and 10."""

    def make(self, key, splits):
        nkey, pkey = jr.split(key)
        size = math.prod(splits.mean.shape)
        kind, latent = (large_vae, 50) if self.large else (small_vae, 10)
        encoder, decoder = kind((size,), key=nkey)
        vae: Marginal = LatentModel(
            StandardNormal((latent,)),
            Conditional(decoder, Normal),
            Conditional(encoder, Normal),
        ).marginal()
        energy = functools.partial(pixel_energy, (size,))
        scale = LogitScale(jnp.asarray(splits.mean), self.lam)
        return OnLogits(self.law.build(vae, energy, key=pkey), scale)


@dataclass(frozen=True, kw_only=True)
class MAF(AbstractContinuous):
    """The masked autoregressive flow that the paper quotes (Papamakarios et al., 2017),
    by FlowJAX.
    """

    law: Proposal = Proposal()
    """The flow alone."""
    layers: int = 5
    """Autoregressive layers."""
    width: int = 1024
    """Hidden units of each."""

    def make(self, key, splits):
        try:
            from flowjax.distributions import Normal as FlowNormal
            from flowjax.flows import masked_autoregressive_flow
        except ImportError as error:
            raise ImportError(
                "The flow needs FlowJAX: `pip install 'taut[flows]'`."
            ) from error
        size = math.prod(splits.mean.shape)
        flow = masked_autoregressive_flow(
            key,
            base_dist=FlowNormal(jnp.zeros(size)),
            flow_layers=self.layers,
            nn_width=self.width,
        )
        return OnLogits(Exact(flow), LogitScale(jnp.asarray(splits.mean), self.lam))
