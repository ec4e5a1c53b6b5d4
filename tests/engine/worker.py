"""One process of the kill, interrupt and multi-process tests.

python worker.py FOLDER STEPS SAVE_EVERY [key=value ...]
"""

import json
import logging
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))


def main(folder, steps, save_every, *options):
    options = dict(option.split("=") for option in options)
    from taut.distributed import initialize, make_mesh

    several = initialize(heartbeat_timeout=int(options.get("heartbeat", 10)))
    import jax
    from small_problems import digest, settings

    from taut.rundir import Run
    from taut.train import CompiledLoop, Interrupted, fit

    logging.basicConfig(level=logging.WARNING)
    mesh = make_mesh(data=len(jax.devices())) if several else None
    config = {"batch_size": 16}
    try:
        run = Run.open(folder)
    except ValueError:
        run = Run.create(folder, config)
    try:
        result = fit(
            **settings(),
            steps=int(steps),
            save_every=int(save_every),
            report_every=20,
            loop=CompiledLoop(int(options.get("chunk", 7))),
            checkpoints=run.checkpoints,
            on_start=run.start,
            on_report=run.report,
            mesh=mesh,
        )
    except Interrupted as stop:
        print(json.dumps({"interrupted": stop.result.step, "message": str(stop)}))
        sys.exit(130)
    weights = np.concatenate(
        [np.ravel(leaf) for leaf in jax.tree.leaves(result.averaged) if leaf is not None
         and isinstance(leaf, jax.Array)]
    )  # fmt: skip
    print(
        json.dumps(
            {
                "step": result.step,
                "digest": digest((result.params, result.averaged)),
                "norm": float(np.linalg.norm(weights)),
                "losses": [row["loss"] for row in result.history],
                "devices": len(jax.devices()),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
