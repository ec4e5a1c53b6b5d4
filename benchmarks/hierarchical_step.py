"""A training step of H-IWAE beside a good PyTorch version of the same, in turns.

    python benchmarks/hierarchical_step.py --rounds 20 [--threads 2] [--compile]

Sizes as published (32/450/1920, K = 5, power 1, batch 64, float32); either side makes
the same step: gradients of the annealed bound, clipped by side at a global norm of 5,
Adam on two sides, the running average of the parameters. Ours is the step of `fit`,
inside its compiled loop; theirs has channels-last images, oneDNN convolutions, weights
of every layer normalised once a step, Adam in one fused call and, with `--compile`,
`torch.compile`. The two take turns on the same threads. Prints a JSON object: seconds a
step (median and quartiles), the median ratio, seconds to the first step (and before it
to our model), and memory.
"""

import argparse
import json
import os
import resource
import time
from typing import Any

from hierarchical_torch import BATCH, build

NAME = "static-mnist-h-iwae-a1-k5"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="torch.compile theirs")
    parser.add_argument("--only", choices=("ours", "theirs"))
    return parser.parse_args()


def images():
    import numpy as np

    draws = np.random.default_rng(0).random((1024, 28, 28, 1))
    return (draws < 0.13).astype(np.float32)


def peak() -> float:
    """The largest the process has been so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- ours -----------------------------------------------------------------------------


class Turns:
    """Our steps, one at a time: what `fit`'s loop does between two reports."""

    def __init__(self):
        import jax
        import jax.random as jr

        from taut.papers.hierarchical import PRESETS

        (preset,) = [p for p in PRESETS if p.name == NAME]
        self.settings = preset.budgets["full"]
        self.model = self.settings.make(jr.key(1), None)
        leaves = jax.tree.leaves(self.model)
        self.parameters = sum(a.size for a in leaves if hasattr(a, "size"))
        self.seconds: list[float] = []
        self.cpu: list[float] = []

    def run(self, rounds: int, between: Any) -> None:
        """`rounds` steps, the first of which compiles; `between` has its turn after."""
        import jax.random as jr

        from taut.train import CompiledLoop, fit

        began = time.perf_counter(), time.process_time()

        def turn(step, metrics, rate):
            nonlocal began
            self.seconds.append(time.perf_counter() - began[0])
            self.cpu.append(time.process_time() - began[1])
            between()
            began = time.perf_counter(), time.process_time()

        fit(
            jr.key(2),
            self.model,
            self.settings.phases(),
            images(),
            steps=rounds,
            batch_size=BATCH,
            polyak=self.settings.polyak,
            loop=CompiledLoop(1),
            report_every=1,
            on_report=turn,
        )


def main() -> dict[str, Any]:
    options = arguments()
    # Both libraries take as many threads; ours asks the system how many cores it has.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    found: dict[str, Any] = {"threads": options.threads, "rounds": options.rounds}
    found["load_before"] = os.getloadavg()[0]
    theirs, cpu, step = [], [], lambda: 0.0
    if options.only != "ours":
        step, found["their_parameters"] = build(
            images(), options.threads, compiled=options.compile
        )
        start = time.perf_counter()
        found["their_first_loss"] = step()
        found["their_first_step"] = time.perf_counter() - start

    def turn():
        start = time.perf_counter(), time.process_time()
        step()
        theirs.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])

    if options.only == "theirs":
        for _ in range(options.rounds):
            turn()
    else:
        found["peak_before_ours_mib"] = peak()
        start = time.perf_counter()
        ours = Turns()
        found["our_model_made"] = time.perf_counter() - start
        found["our_parameters"] = ours.parameters
        ours.run(options.rounds + 1, (lambda: None) if options.only else turn)
        found["our_first_step"] = ours.seconds[0]
        found |= summary("our", ours.seconds[1:], ours.cpu[1:])
    if theirs:
        found |= summary("their", theirs[1:], cpu[1:])
    if theirs and options.only is None:
        pairs = list(zip(ours.seconds[1:], theirs[1:]))
        found |= quartiles("ratio", [a / b for a, b in pairs])
        pairs = list(zip(ours.cpu[1:], cpu[1:]))
        found |= quartiles("ratio_of_processor_time", [a / b for a, b in pairs])
    found["peak_mib"] = peak()
    found["load_after"] = os.getloadavg()[0]
    return found


def quartiles(name: str, values: list[float]) -> dict[str, Any]:
    import numpy as np

    low, middle, high = np.percentile(values, [25, 50, 75]).round(4)
    return {name: float(middle), f"{name}_quartiles": [float(low), float(high)]}


def summary(name: str, seconds: list[float], cpu: list[float]) -> dict[str, Any]:
    return quartiles(f"{name}_step", seconds) | quartiles(f"{name}_processor", cpu)


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
