"""Nine Gaussians in the plane, by the four laws of the energy papers."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from ...core.density import AbstractDensity
from ...densities.conditional import Conditional
from ...densities.hamiltonian import HamiltonianImportance
from ...densities.normal import Normal, StandardNormal
from ...densities.resampled import Resampled, smoothed
from ...densities.self_normalized import SelfNormalized
from ...densities.synthetic import NineGaussians
from ...densities.truncated_rejection import TruncatedRejection, log_closed_form
from ...evaluation import gather, lower_end
from ...nn.heads import Raised
from ...nn.networks import momentum_encoder, toy_energy
from ...report import Row
from ...train import Phase, fit
from .common import NUM, Options, Trained, mean_and_error, with_upper

RATE = 1e-2  # high, for few steps; falls to zero along a cosine
# Added to the energies of TRS and LARS: an acceptance rate that starts low can grow
# anywhere, one near a half waits on a plateau.
RAISED = 3.0
DRAWS = 10_000  # of each law: for its picture, and for both its ends
GRID = np.linspace(-2.0, 2.0, 61)


def snis(proposal, key):
    return SelfNormalized(proposal, toy_energy(key=key), NUM)


def raised(key):
    return Raised(toy_energy(key=key), jnp.array(RAISED))


def trs(proposal, key):
    return TruncatedRejection(proposal, raised(key), NUM)


def his(proposal, key):
    ekey, mkey = jr.split(key)
    momentum = Conditional(momentum_encoder(2, key=mkey), Normal)
    energy = toy_energy(key=ekey)
    alphas = jnp.full(5, 0.995)
    return HamiltonianImportance(proposal, energy, jnp.full(2, 0.1), alphas, momentum)


def lars(proposal, key):
    return Resampled(proposal, raised(key), NUM)


PLANE = {"SNIS": snis, "TRS": trs, "HIS": his, "LARS": lars}


def plane_model(options: Options, name: str, make: Callable) -> Trained:
    """Nine Gaussians, from draws alone; every law on the proposal N(0, I)."""
    target = NineGaussians()
    mkey, fkey, ekey, skey = jr.split(jr.key(options.seed), 4)
    model = make(StandardNormal((2,)), mkey)
    bound = isinstance(model, AbstractDensity)

    def density_loss(model, context, x):
        # One set of proposals a step; the momentum of HIS is each example's own.
        key = context.key if name == "HIS" else context.shared
        value = model.log_prob(key, x)
        return -value, {"bound": value}

    def lars_loss(model, context, x):
        current = model.rate(context.shared, NUM)
        rate, average = smoothed(context.state, current)
        value = model.at(rate).log_prob(context.key, x)
        return -value, {"bound": value, "rate": average}

    adam = optax.adam(optax.cosine_decay_schedule(RATE, options.steps))
    phase = (
        Phase(density_loss, adam)
        if bound
        else Phase(lars_loss, adam, update=lambda _, aux: aux["rate"])
    )
    result = fit(
        fkey,
        model,
        phase,
        lambda key: target.draw(key),
        state=None if bound else jax.nn.sigmoid(jnp.array(-RAISED)),
        steps=options.steps,
        batch_size=128,
        report_every=max(1, options.steps // 60),
    )
    xs = examples(options.seed)
    trained = result.params if bound else result.params.at(rate(result.params, skey))
    at = lambda model, key: model
    end = gather(list(lower_end(ekey, at, trained, xs, 4, block=500)))
    row = Row(name, *mean_and_error(end.value), exact=exact_mean(result.params, xs))
    if bound:
        row, draws = with_upper(row, skey, result.params, DRAWS, 1)
    else:
        row = replace(row, note="an estimate, not a bound")
        sample = jax.jit(jax.vmap(result.params.sample))
        draws = np.asarray(sample(jr.split(skey, DRAWS)))
    return Trained(row, result.history, result.params, draws)


@functools.cache
def examples(seed: int) -> np.ndarray:
    """Test points, the same for every law."""
    keys = jr.split(jr.fold_in(jr.key(seed), 1), 500)
    return np.asarray(jax.jit(jax.vmap(NineGaussians().draw))(keys))


@eqx.filter_jit
def rate(model: Resampled, key) -> Any:
    """The acceptance rate that a LARS model is scored with."""
    return model.rate(key, 100_000)


def exact_mean(model: Any, xs: np.ndarray) -> float | None:
    """The model's own mean log density, where quadrature gives it: given the rate
    `Z = integral of pi a`, rejection sampling has a closed form."""
    if not isinstance(model, TruncatedRejection | Resampled):
        return None
    return float(_closed_form(model, xs))


@eqx.filter_jit
def _closed_form(model: TruncatedRejection | Resampled, xs: Any) -> Any:
    side = jnp.linspace(-6.0, 6.0, 301)
    points = jnp.stack(jnp.meshgrid(side, side), -1).reshape(-1, 2)
    proposal = StandardNormal((2,)).log_density
    accept = lambda x: jax.nn.log_sigmoid(-model.energy(x))
    mass = jnp.exp(jax.vmap(lambda x: proposal(x) + accept(x))(points))
    rate = jnp.sum(mass) * (side[1] - side[0]) ** 2
    one = lambda x: proposal(x) + log_closed_form(accept(x), rate, model.num)
    return jnp.mean(jax.vmap(one)(xs))


def picture(draws: np.ndarray) -> np.ndarray:
    """The learned density on a grid, from its own draws."""
    x, y = draws.T
    return np.histogram2d(y, x, bins=GRID, density=True)[0]
