"""`taut demo`: small models trained from nothing, bounded from both sides, reported."""

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from .. import data
from ..core.combine import Conditioned, Frozen, Joint, Marginal
from ..core.density import AbstractDensity
from ..data import transforms
from ..densities.conditional import Conditional
from ..densities.discrete import Bernoulli
from ..densities.hamiltonian import HamiltonianImportance
from ..densities.normal import Normal, StandardNormal
from ..densities.resampled import Resampled, smoothed
from ..densities.self_normalized import SelfNormalized
from ..densities.synthetic import NineGaussians
from ..densities.truncated_rejection import TruncatedRejection, log_closed_form
from ..evaluation import both_ends, gather, lower_end, summary
from ..nn.heads import BernoulliDecoder, Encoder, Energy, mean_logits
from ..nn.mlp import MLP
from ..nn.networks import momentum_encoder, toy_energy
from ..report import Figure, Page, Row, curves, density, ends, images, render
from ..rundir import environment
from ..samplers.importance import Amortized
from ..train import FitResult, Phase, fit
from .options import parse
from .progress import console, progress

NUM = 128  # proposals of SNIS, TRS and LARS
GRID = np.linspace(-2.0, 2.0, 61)


@dataclass(frozen=True)
class Options:
    """Train small models, bound their likelihood from both sides, draw a report."""

    out: Path = Path("taut-demo")
    """Where index.html and summary.json go."""
    steps: int = 3000
    """Training steps of each model."""
    seed: int = 0
    """Decides every random number."""
    json: bool = False
    """Print the summary as JSON."""
    quiet: bool = False
    """No progress."""


@dataclass(frozen=True)
class Trained:
    """One model's place in the report."""

    row: Row
    history: list[dict[str, Any]]
    model: Any


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut demo")
    start = time.monotonic()
    makers: dict[str, Callable[[], Trained]] = {
        name: functools.partial(plane_model, options, name, make)
        for name, make in PLANE.items()
    }
    makers |= {
        name: functools.partial(digit_model, options, name, num)
        for name, num in (("VAE, Gaussian prior", None), ("VAE, SNIS prior", NUM))
    }
    found: dict[str, Trained] = {}
    with progress("taut demo", len(makers), quiet=options.quiet) as update:
        for name, make in makers.items():
            update(len(found), name)
            found[name] = make()
    seconds = time.monotonic() - start
    page = report(found, options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "index.html").write_text(page)
    record = summarise(found, seconds)
    (options.out / "summary.json").write_text(json.dumps(record, indent=2) + "\n")
    if options.json:
        print(json.dumps(record, indent=2))
    elif not options.quiet:
        show(found, seconds, options.out / "index.html")


# The plane ---------------------------------------------------------------------------


def snis(proposal, key):
    return SelfNormalized(proposal, toy_energy(key=key), NUM)


def trs(proposal, key):
    return TruncatedRejection(proposal, toy_energy(key=key), NUM)


def his(proposal, key):
    ekey, mkey = jr.split(key)
    momentum = Conditional(momentum_encoder(2, key=mkey), Normal)
    energy = toy_energy(key=ekey)
    alphas = jnp.full(5, 0.995)
    return HamiltonianImportance(proposal, energy, jnp.full(2, 0.1), alphas, momentum)


def lars(proposal, key):
    return Resampled(proposal, toy_energy(key=key), NUM)


PLANE = {"SNIS": snis, "TRS": trs, "HIS": his, "LARS": lars}


def plane_model(options: Options, name: str, make: Callable) -> Trained:
    """Nine Gaussians, from draws alone; every law on the proposal N(0, I)."""
    target = NineGaussians()
    mkey, fkey, ekey, skey, tkey = jr.split(jr.key(options.seed), 5)
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

    phase = (
        Phase(density_loss, optax.adam(2e-3))
        if bound
        else Phase(lars_loss, optax.adam(2e-3), update=lambda _, aux: aux["rate"])
    )
    result = fit(
        fkey,
        model,
        phase,
        lambda key: target.draw(key),
        state=None if bound else jnp.array(0.5),
        steps=options.steps,
        batch_size=128,
        report_every=max(1, options.steps // 60),
    )
    xs = np.asarray(jax.jit(jax.vmap(target.draw))(jr.split(tkey, 500)))
    trained = result.params if bound else result.params.at(rate(result.params, skey))
    at = lambda model, key: model
    end = gather(list(lower_end(ekey, at, trained, xs, 20, block=500)))
    row = Row(name, *_mean_and_error(end.value), exact=exact_mean(result.params, xs))
    if bound:
        row = with_upper(row, skey, result.params, 200, 20)
    else:
        row = replace(row, note="an estimate, not a bound")
    return Trained(row, result.history, result.params)


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


def picture(model: Any) -> np.ndarray:
    """The learned density on a grid, from its own draws."""
    draws = jax.jit(jax.vmap(model.sample))(jr.split(jr.key(1), 20_000))
    x, y = np.asarray(draws).T
    return np.histogram2d(y, x, bins=GRID, density=True)[0]


# Digits ------------------------------------------------------------------------------


class Digits(eqx.Module):
    """A small VAE of 8x8 digits."""

    prior: AbstractDensity
    likelihood: Conditional
    guide: Conditional

    def given(self, prior: Any) -> Marginal:
        return Marginal(Joint(prior, self.likelihood), Amortized(self.guide))


def digit_model(options: Options, name: str, num: int | None) -> Trained:
    """Handwritten digits, binarised at every read, with and without a SNIS prior."""
    train, test = data.load("digits", "train"), data.load("digits", "test")
    levels = train.card.levels
    latent = 8
    pkey, ekey, dkey, fkey, tkey, skey = jr.split(jr.key(options.seed), 6)
    mean = train.mean()
    prior: AbstractDensity = StandardNormal((latent,))
    if num is not None:
        energy = Energy(MLP((latent, 64, 64, 1), key=pkey))
        prior = SelfNormalized(prior, energy, num)
    encoder = Encoder(MLP((64, 128, 2 * latent), key=ekey), mean)
    net = MLP((latent, 128, 64), key=dkey)
    decoder = BernoulliDecoder(net, (8, 8), mean_logits(mean))
    model = Digits(prior, Conditional(decoder, Bernoulli), Conditional(encoder, Normal))

    def prepare(key, x):
        grey = transforms.intensity(x, levels).astype(jnp.float32)
        return transforms.binarise(key, grey)

    def loss(model, context, x):
        marginal = model.given(Frozen(model.prior, context.shared))
        target = Conditioned(marginal.joint, x)
        value = marginal.sampler(x).run(context.key, target).log_z
        return -value, {"bound": value}

    result: FitResult = fit(
        fkey,
        model,
        Phase(loss, optax.adam(2e-3)),
        jnp.asarray(train.images),
        prepare=prepare,
        steps=options.steps,
        batch_size=128,
        report_every=max(1, options.steps // 60),
    )
    at = lambda model, key: model.given(Frozen(model.prior, key))
    xs = transforms.fixed_binarisation(test)
    end = gather(list(lower_end(tkey, at, result.params, xs, 100, block=1000)))
    row = Row(name, *_mean_and_error(end.value))
    marginal = result.params.given(result.params.prior)
    return Trained(
        with_upper(row, skey, marginal, 100, 100), result.history, result.params
    )


# The report --------------------------------------------------------------------------


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    told = summary(values)
    return told["mean"], told["se_examples"]


def with_upper(row: Row, key, model: AbstractDensity, count: int, num: int) -> Row:
    """The row with both ends on examples simulated from the model itself."""
    _, lower, upper = gather(list(both_ends(key, model, count, num, block=count)))
    return replace(row, simulated_lower=float(lower.mean()), upper=float(upper.mean()))


def _history(found: dict[str, Trained], names: Sequence[str]) -> dict[str, tuple]:
    return {
        name: tuple(
            [row[what] for row in found[name].history] for what in ("step", "bound")
        )
        for name in names
    }


def report(found: dict[str, Trained], options: Options) -> str:
    """One page about all of them."""
    plane = [name for name in found if name in PLANE]
    digits = [name for name in found if name not in PLANE]
    target = NineGaussians()
    centres = (GRID[1:] + GRID[:-1]) / 2
    points = jnp.stack(jnp.meshgrid(centres, centres), -1).reshape(-1, 2)
    truth = np.exp(jax.jit(jax.vmap(target.log_density))(points)).reshape(60, 60)
    pictures = {"target": truth} | {n: picture(found[n].model) for n in plane}
    vae = found[digits[-1]].model
    joint = Joint(vae.prior, vae.likelihood)
    latents, _ = eqx.filter_jit(jax.vmap(joint.sample))(jr.split(jr.key(2), 40))
    grey = jax.nn.sigmoid(jax.vmap(vae.likelihood.net)(latents))
    simulated = {
        n: (t.row.simulated_lower, t.row.upper)
        for n, t in found.items()
        if t.row.upper is not None and t.row.simulated_lower is not None
    }
    figures = [
        Figure(
            "Learned densities",
            density(pictures, (-2, 2, -2, 2)),
            "Nine Gaussians, and what each model draws after training on samples.",
        ),
        Figure(
            "Nine Gaussians",
            curves(
                _history(found, plane),
                ylabel="training bound, nats",
                reference=("ceiling", target.ceiling),
            ),
            "No density can have a higher mean than the target's negative entropy.",
        ),
        Figure(
            "Both ends, in the plane",
            ends({n: simulated[n] for n in plane if n in simulated}),
            "Mean over examples simulated from each model: the truth lies in the bar.",
        ),
        Figure(
            "Digits",
            curves(_history(found, digits), ylabel="training bound, nats"),
            "A VAE of 8x8 digits with a Gaussian prior and with a SNIS prior.",
        ),
        Figure(
            "Both ends, digits",
            ends({n: simulated[n] for n in digits}),
            "On examples simulated from each VAE.",
        ),
        Figure(
            "Drawn digits",
            images(np.asarray(grey)),
            "Means of the pixels for latents drawn from the SNIS prior.",
        ),
    ]
    intro = (
        "Six small models, trained in one go. On test examples the mean "
        "log-likelihood is bounded from below; on examples simulated from the model "
        "it is bounded from both sides, and the upper end is certified."
    )
    rows = [t.row for t in found.values()]
    settings = {"steps": options.steps, "seed": options.seed, "proposals": NUM}
    details = {"settings": settings, "environment": environment()}
    return render(Page("taut demo", intro, rows, figures, details))


def summarise(found: dict[str, Trained], seconds: float) -> dict[str, Any]:
    """The table's numbers, for machines."""
    rows = [
        {
            "name": t.row.name,
            "lower": t.row.lower,
            "lower_error": t.row.lower_error,
            "simulated_lower": t.row.simulated_lower,
            "upper": t.row.upper,
            "exact": t.row.exact,
            "bound": t.row.upper is not None,
        }
        for t in found.values()
    ]
    return {"seconds": round(seconds, 1), "rows": rows}


def show(found: dict[str, Trained], seconds: float, path: Path) -> None:
    """The table for people."""
    from rich.table import Table

    table = Table(title="log-likelihood, nats")
    heads = ("model", "lower end\n(test)", "exact\n(test)")
    for head in (*heads, "lower end\n(simulated)", "upper end\n(simulated)", ""):
        table.add_column(head, justify="left" if head in ("model", "") else "right")
    cell = lambda value: "–" if value is None else f"{value:.3f}"
    for t in found.values():
        lower = f"{t.row.lower:.3f} ± {t.row.lower_error or 0:.3f}"
        ends_ = (t.row.exact, t.row.simulated_lower, t.row.upper)
        table.add_row(t.row.name, lower, *map(cell, ends_), t.row.note)
    console.print(table)
    console.print(f"{seconds:.0f} s. The report: {path}")
