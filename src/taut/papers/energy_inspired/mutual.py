"""InfoNCE with three kinds of critics, held against correlated Gaussians."""

import functools
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float

from ... import information
from ...core.combine import Joint
from ...nn import critics
from ...rundir import write_json
from ...train import Context, Phase, fit
from .pictures import semilog

RHO, DIM = 0.9, 2
CRITICS = {
    "separable critic": critics.separable,
    "bilinear critic": critics.bilinear,
    "free critic": critics.free,
}
KS = {"quick": (2, 8, 32), "medium": (2, 8, 32, 128)}
STEPS = {"quick": 1000, "medium": 10_000}
PAIRS = 20_000


def best_critic(joint: Joint, x: Array, y: Array) -> Float[Array, ""]:
    """`log p(y|x)`: any function of `y` may be added."""
    return joint.likelihood(x).log_prob(jr.key(0), y)


def trained(joint: Joint, critic: Any, num: int, steps: int, seed: int = 0) -> Any:
    """The critic that maximises `info_nce`; every step simulates its own pairs."""

    def loss(critic: Any, context: Context, _: Array):
        bound = information.info_nce(context.key, joint, critic, num)
        return -bound, {"bound": bound}

    nothing = lambda key: jnp.zeros(())
    phase = Phase(loss, optax.adam(3e-3))
    key = jr.key(seed)
    return fit(key, critic, phase, nothing, steps=steps, batch_size=128).params


def measured(joint: Joint, num: int, steps: int) -> dict[str, information.Average]:
    """With `num` points: each trained critic and the best one, from below, and
    leave-one-out, which knows the likelihood, from above.
    """
    found = {}
    for name, make in CRITICS.items():
        critic = trained(joint, make(DIM, DIM, key=jr.key(1)), num, steps)
        found[name] = _average(joint, critic, num)
    found["best critic"] = _average(joint, functools.partial(best_critic, joint), num)
    above = lambda key: information.leave_one_out(key, joint, num)
    upper = information.average(jr.key(2), above, PAIRS)
    return found | {"upper (leave-one-out)": upper}


def _average(joint: Joint, critic: Any, num: int) -> information.Average:
    bound = lambda key: information.info_nce(key, joint, critic, num)
    return information.average(jr.key(2), bound, PAIRS)


def draw(folder: Path, budget: str) -> None:
    """The figure, and its numbers."""
    ks, steps = KS.get(budget, KS["medium"]), STEPS.get(budget, STEPS["medium"])
    joint, truth = information.correlated_gaussians(RHO, DIM)
    found = [measured(joint, num, steps) for num in ks]
    bounds = {
        line: [{"K": num, **vars(row[line])} for num, row in zip(ks, found)]
        for line in found[0]
    }
    name = "energy-inspired-information"
    about = {"rho": RHO, "dim": DIM, "truth": truth, "steps": steps, "pairs": PAIRS}
    write_json(folder / f"{name}.json", {"budget": budget, **about, "bounds": bounds})
    lines = {line: (ks, [row["value"] for row in bounds[line]]) for line in bounds}
    text = semilog(
        lines | {"log K": (ks, [math.log(num) for num in ks])},
        xlabel="K",
        ylabel="mutual information, nats",
        reference=("truth", truth),
    )
    (folder / f"{name}.svg").write_text(text)
