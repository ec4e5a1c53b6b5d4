"""What it costs to adapt step sizes while chains weigh, as published evaluators do.

A kernel that depends on where the chains have been leaves nothing invariant, so the
mean weight need not be `Z`. Here `Z` is known.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ... import schedules
from ...core.checks import particle_keys, split
from ...core.combine import Conditioned
from ...core.density import AbstractDensity, AbstractTarget
from ...core.kernel import Path
from ...densities.normal import Normal, StandardNormal
from ...kernels.hmc import HMC
from ...samplers.chain import share
from .exact import Guide, linear_gaussian


@dataclass(frozen=True)
class Rule:
    """One step size for all chains of a batch, changed after every move."""

    batch: int
    grow: float
    shrink: float
    goal: float = 0.6
    step_size: float = 0.1


RULES = {
    "published: 256 chains, x 1.002 / 0.998": Rule(256, 1.002, 0.998),
    "one chain, x 1.1 / 0.9": Rule(1, 1.1, 0.9),
    "one chain, x 2 / 0.5": Rule(1, 2.0, 0.5),
}


def adapting(
    key: PRNGKeyArray,
    q: AbstractDensity,
    target: AbstractTarget,
    betas: Float[Array, " T"],
    leapfrogs: int,
    rule: Rule,
) -> Float[Array, " batch"]:
    """Log weights of chains whose common step size follows their own acceptance."""
    skey, pkey, mkey = split(key, 3)
    path = Path(q, target, pkey, betas)
    shares = jnp.diff(betas, prepend=0.0)
    starts = jax.vmap(q.sample)(particle_keys(skey, rule.batch))
    states = jax.vmap(lambda z: HMC(0.1).init(path, path.ravel(z)))(starts)

    def step(carry, t):
        states, log_weight, size = carry
        log_weight = log_weight + share(shares[t], states.log_gamma - states.log_q)
        kernel = HMC(size, leapfrogs)
        move = lambda key, state: kernel.forward(key, path, t, state)[0]
        states = jax.vmap(move)(particle_keys(jr.fold_in(mkey, t), rule.batch), states)
        useful = jnp.mean(states.acceptance) >= rule.goal
        size = size * jnp.where(useful, rule.grow, rule.shrink)
        return (states, log_weight, size), None

    start = states, jnp.zeros(rule.batch), jnp.asarray(rule.step_size)
    times = jnp.arange(len(betas) - 1)
    (states, log_weight, _), _ = jax.lax.scan(step, start, times)
    return log_weight + share(shares[-1], states.log_gamma - states.log_q)


class Funnel(AbstractTarget[Array]):
    """`v ~ N(0, 1)`, `z ~ N(0, exp(v))`: narrow where `v` is small. Its `Z` is one."""

    @property
    def exact(self):
        return True

    def log_prob(self, key, x):
        scale = 0.5 * x[0]
        first = StandardNormal((1,)).log_density(x[:1])
        return first + Normal(jnp.zeros(1), scale[None]).log_density(x[1:])


class Problem(eqx.Module):
    """A target with its constant, and where chains start."""

    target: AbstractTarget
    q: AbstractDensity
    log_z: Float[Array, ""]


def problems() -> dict[str, Problem]:
    """Smooth ones, and one on which no step size suits all points."""
    found = {}
    for latent in (2, 10):
        model = linear_gaussian(latent)
        x = model.examples(jr.key(4), 1)[0]
        target, q = Conditioned(model.joint, x), Guide(model.decoder)(x)
        found[f"linear-Gaussian, {latent}"] = Problem(target, q, model.log_evidence(x))
    wide = Normal(jnp.zeros(2), jnp.log(jnp.array([1.2, 1.5])))
    return found | {"funnel": Problem(Funnel(), wide, jnp.zeros(()))}


def bias(
    problem: Problem,
    rule: Rule,
    *,
    chains: int = 51_200,
    temperatures: int = 50,
    leapfrogs: int = 5,
) -> dict[str, Any]:
    """`E[w] / Z - 1` and `E[log w] - log Z`, with their errors."""
    betas, batches = jnp.asarray(schedules.linear(temperatures)), chains // rule.batch

    @jax.jit
    def run(keys):
        one = lambda key: adapting(
            key, problem.q, problem.target, betas, leapfrogs, rule
        )
        return jax.lax.map(one, keys, batch_size=max(1, 5120 // rule.batch))

    log_ratio = np.asarray(run(jr.split(jr.key(5), batches)) - problem.log_z)
    # Chains of a batch share their step size: batches are what is independent.
    told: dict[str, Any] = {
        "chains": chains,
        "temperatures": temperatures,
        "leapfrogs": leapfrogs,
    }
    for name, values in {
        "mean_weight": np.expm1(log_ratio).mean(axis=1),
        "mean_log_weight": log_ratio.mean(axis=1),
    }.items():
        told[name] = float(values.mean())
        told[f"{name}_error"] = float(values.std(ddof=1) / np.sqrt(batches))
    return told
