"""Long single chains: how near to perfect moves are they?"""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ... import schedules
from ...core.combine import Conditioned
from ...densities.normal import Normal
from ...kernels.hmc import HMC
from ...samplers.adaptation import steadied, warm_up
from ...samplers.annealed import Annealed
from .exact import Linear, divergences

PILOT = 200  # temperatures of the chains that step sizes are tuned on


def long_chains(
    model: Linear,
    start: Normal,
    x: Array,
    *,
    chains: int = 400,
    temperatures: int = 1000,
    leapfrogs: int = 10,
) -> dict[str, Any]:
    """The gap of single chains on a linear schedule, against that of perfect moves:
    `(KL(q || p) + KL(p || q)) / T`.

    Since `E[w] = Z` exactly, `w / Z - 1` has mean zero: added to `-log(w / Z)` it takes
    away most of the noise, and the gap is known from few chains.
    """
    target, truth = Conditioned(model.joint, x), model.log_evidence(x)
    wkey, skey, fkey, bkey = jr.split(jr.key(2), 4)

    def aimed(step_size: Any, num: int, chains: int) -> Annealed:
        kernel = HMC(step_size, leapfrogs, jnp.exp(start.log_scale))
        return Annealed(start, kernel, schedules.linear(num), chains, last_move=False)

    # Step sizes come from shorter chains, and between their temperatures from a line.
    @jax.jit
    def tuned(wkey, skey):
        pilot = warm_up(wkey, aimed(0.1, PILOT, 20), target)
        pilot = steadied(skey, pilot, target, 10)
        kernel: Any = pilot.kernel
        at, known = schedules.linear(temperatures), schedules.linear(PILOT)
        return jnp.interp(at, known[:-1], kernel.step_size[:-1])

    sampler = aimed(tuned(wkey, skey), temperatures, 1)

    def forward(key: PRNGKeyArray) -> Array:
        return sampler.run(key, target).log_z - truth

    def backward(key: PRNGKeyArray) -> Array:
        zkey, rkey = jr.split(key)
        z = model.posterior(x).sample(zkey)
        log_target = target.log_prob(zkey, z)
        return truth - sampler.run_conditional(rkey, target, z, log_target).log_z

    run = lambda one, key: np.asarray(jax.jit(jax.vmap(one))(jr.split(key, chains)))
    sides = [run(forward, fkey), run(backward, bkey)]
    excess = [np.expm1(log_ratio) - log_ratio for log_ratio in sides]
    gap = float(sum(e.mean() for e in excess))
    error = float(np.sqrt(sum(e.var(ddof=1) for e in excess) / chains))
    perfect = float(divergences(start, model.posterior(x))) / temperatures
    return {
        "chains": chains,
        "temperatures": temperatures,
        "leapfrogs": leapfrogs,
        "gap": gap,
        "error": error,
        "plain_gap": float(-sum(side.mean() for side in sides)),
        "perfect_moves": perfect,
        "ratio": gap / perfect,
        "ratio_error": error / perfect,
    }
