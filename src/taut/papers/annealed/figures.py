"""What `taut reproduce annealed NAME` measures, with the numbers as JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.random as jr

from ...rundir import environment, write_json
from .adapting import RULES, Rule, bias, problems
from .coverage import LEVEL, allowed, covered, evaluated, verdict
from .exact import Guide, models
from .gaps import long_chains
from .implicit import LEAPFROGS, compared, picture
from .memory import memory

SEEDS = {"quick": 40, "medium": 200, "full": 200}
CHAINS = {"quick": 100, "medium": 200, "full": 1000}


def coverage(folder: Path, budget: str) -> None:
    """Intervals against the truth, on models whose evidence is known."""
    seeds, found = SEEDS[budget], {}
    for name, model in models().items():
        ends, mean = covered(model, seeds=seeds), evaluated(model, seeds=seeds)
        kept = {"ends": verdict(ends), "evaluation": verdict(mean)}
        found[name] = {"ends": ends, "evaluation": mean, "kept": kept}
        about = {"level": LEVEL, "misses_allowed": allowed(seeds), "models": found}
        _save(folder, "coverage", budget, about)


def gaps(folder: Path, budget: str) -> None:
    """Single chains of 1,000 temperatures, from a guide and from the prior."""
    found = {}
    for name, model in models().items():
        x = model.examples(jr.key(3), 1)[0]
        for start, q in {
            "guide": Guide(model.decoder)(x),
            "prior": model.prior,
        }.items():
            long = long_chains(model, q, x, chains=CHAINS[budget])
            found[f"{name}, from the {start}"] = long
        _save(folder, "gaps", budget, found)


def adapting(folder: Path, budget: str) -> None:
    """The bias of adapting while weighing."""
    chains, found = 256 * CHAINS[budget], {}
    frozen = {"frozen at 0.5": Rule(256, 1.0, 1.0, step_size=0.5)}
    for name, problem in problems().items():
        for rule, how in {**frozen, **RULES}.items():
            found[f"{name}; {rule}"] = bias(problem, how, chains=chains)
        _save(folder, "adapting", budget, found)


def figure1(folder: Path, budget: str) -> None:
    """Implicit distributions of IS and AIS at equal cost."""
    costs, seeds = (25, 125, 500), {"quick": 3}.get(budget, 10)
    found, points = compared(costs, 4000, seeds)
    about = {"draws": 4000, "seeds": seeds, "leapfrogs": LEAPFROGS, "T": 5}
    _save(folder, "figure1", budget, about | {"mean and error": found})
    (folder / "annealed-figure1.svg").write_text(picture(points))


def temporaries(folder: Path, budget: str) -> None:
    """Memory of training steps and of evaluation, as compiled."""
    _save(folder, "memory", budget, memory())


def _save(folder: Path, name: str, budget: str, record: Any) -> None:
    about = {
        "command": f"taut reproduce annealed {name} --budget {budget}",
        "device": environment()["device"],
        "x64": jax.config.jax_enable_x64,  # pyright: ignore[reportAttributeAccessIssue]
    }
    write_json(folder / f"annealed-{name}.json", about | {name: record})


FIGURES: dict[str, Callable[[Path, str], None]] = {
    "coverage": coverage,
    "gaps": gaps,
    "adapting": adapting,
    "figure1": figure1,
    "memory": temporaries,
}
