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

from ... import data
from ...core.combine import Conditioned, Frozen, Joint, Marginal
from ...core.density import AbstractDensity
from ...data import transforms
from ...densities.conditional import Conditional
from ...densities.discrete import Bernoulli
from ...densities.hamiltonian import HamiltonianImportance
from ...densities.normal import Normal, StandardNormal
from ...densities.resampled import Resampled, smoothed
from ...densities.self_normalized import SelfNormalized
from ...densities.synthetic import NineGaussians
from ...densities.truncated_rejection import TruncatedRejection, log_closed_form
from ...evaluation import both_ends, gather, lower_end, summary
from ...nn.heads import BernoulliDecoder, Encoder, Energy, mean_logits
from ...nn.mlp import MLP
from ...nn.networks import momentum_encoder, toy_energy
from ...report import Figure, Page, Row, curves, density, ends, images, render
from ...rundir import environment
from ...samplers.importance import Amortized
from ...train import FitResult, Phase, fit
from ..options import parse
from ..progress import console, progress
from .common import NUM, Options, Trained
from .digits import digit_model
from .page import report, show, summarise
from .plane import PLANE, plane_model


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
