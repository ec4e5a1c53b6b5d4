"""Do the ends of evaluations keep what they promise, where the truth is known?"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from scipy.stats import binom, norm

from ... import schedules
from ...core.combine import Conditioned
from ...evaluation import AnnealedEnds
from ...evidence.statistics import mean_bound, standard_error
from ...kernels.hmc import HMC
from ...samplers.adaptation import warm_up
from ...samplers.annealed import Annealed
from .exact import Guide, Linear

LEVEL = 0.95


def covered(
    model: Linear,
    *,
    seeds: int = 200,
    runs: int = 16,
    chains: int = 4,
    temperatures: int = 50,
    leapfrogs: int = 5,
) -> dict[str, Any]:
    """Intervals from `runs` runs of each end, on one example, seed by seed.

    Step sizes are found on keys of their own, then frozen. The expectation of an end is
    the mean over as many other runs again.
    """
    xkey, wkey, akey, bkey = jr.split(jr.key(0), 4)
    x = model.examples(xkey, 1)[0]
    target, truth = Conditioned(model.joint, x), float(model.log_evidence(x))
    betas = schedules.linear(temperatures)
    q = Guide(model.decoder)(x)
    sampler = Annealed(q, HMC(0.3, leapfrogs), betas, chains, last_move=False)
    sampler = jax.jit(lambda key: warm_up(key, sampler, target))(wkey)

    def one(key: PRNGKeyArray) -> tuple[Array, Array]:
        lkey, zkey, ukey = jr.split(key, 3)
        z = model.posterior(x).sample(zkey)
        log_target = target.log_prob(zkey, z)
        upper = sampler.run_conditional(ukey, target, z, log_target)
        return sampler.run(lkey, target).log_z, upper.log_z

    @jax.jit
    def both(key):
        keys = jr.split(key, (seeds, runs))
        return jax.lax.map(jax.vmap(one), keys, batch_size=max(1, seeds // 10))

    lower, upper = map(np.asarray, both(akey))
    expected = [float(np.mean(end)) for end in both(bkey)]
    below = np.array([mean_bound(row, LEVEL, -1) for row in lower])
    above = np.array([mean_bound(row, LEVEL, +1) for row in upper])
    errors = np.hypot(
        *(np.apply_along_axis(standard_error, 1, e) for e in (lower, upper))
    )
    gap = expected[1] - expected[0]
    missed = {
        "lower end's own expectation": below > expected[0],
        "upper end's own expectation": above < expected[1],
        "truth, from below": below > truth,
        "truth, from above": above < truth,
    }
    return {
        "seeds": seeds,
        "runs": runs,
        "chains": chains,
        "temperatures": temperatures,
        "log_evidence": truth,
        "lower": expected[0] - truth,
        "upper": expected[1] - truth,
        "gap": gap,
        "misses": {name: int(np.sum(miss)) for name, miss in missed.items()},
        "too_wide": int(np.sum(above - below > gap + 8 * errors)),
    }


def evaluated(
    model: Linear,
    *,
    seeds: int = 200,
    examples: int = 10,
    chains: int = 16,
    temperatures: int = 50,
    leapfrogs: int = 5,
) -> dict[str, Any]:
    """The interval of an evaluation's lower end: the mean over fixed examples, with
    the Monte Carlo error that each example's weights give.
    """
    xkey, wkey, ekey = jr.split(jr.key(1), 3)
    xs = model.examples(xkey, examples)
    betas = schedules.linear(temperatures)
    ends = AnnealedEnds(model.marginal, betas, chains, leapfrogs, 0.3)
    ends = ends.tuned(wkey, np.asarray(model.examples(wkey, 20)))
    one = lambda key: next(ends.lower(key, np.asarray(xs), block=examples)).end
    keys = jr.split(ekey, seeds)
    end = jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=4))(keys)
    mean = np.asarray(end.value).mean(axis=1)
    error = np.sqrt(np.sum(np.asarray(end.error) ** 2, axis=1)) / examples
    truth = float(jnp.mean(jax.vmap(model.log_evidence)(xs)))
    below = mean - norm.ppf(LEVEL) * error
    misses = {
        "its own expectation": int(np.sum(below > mean.mean())),
        "truth": int(np.sum(below > truth)),
    }
    return {
        "seeds": seeds,
        "examples": examples,
        "chains": chains,
        "temperatures": temperatures,
        "lower": float(mean.mean()) - truth,
        "error": float(error.mean()),
        "spread": float(mean.std(ddof=1)),
        "misses": misses,
    }


def allowed(seeds: int) -> int:
    """Misses that intervals of this level exceed once in a thousand times."""
    return int(binom.ppf(0.999, seeds, 1 - LEVEL))


def verdict(found: Mapping[str, Any]) -> bool:
    """Do all intervals keep their level?"""
    most = max(found["misses"].values())
    return most <= allowed(found["seeds"]) and not found.get("too_wide", 0)
