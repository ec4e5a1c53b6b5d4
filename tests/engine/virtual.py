"""The 8-device test's own process: the same training with and without a mesh."""

import json
import re
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).parent))

from small_problems import autoencoder, make_autoencoder, settings  # noqa: E402

from taut.checkpoint import Checkpoints  # noqa: E402
from taut.core.checks import particle_keys  # noqa: E402
from taut.distributed import make_mesh  # noqa: E402
from taut.train import Context, Phase, fit  # noqa: E402
from taut.train.sharding import split  # noqa: E402


def flat(tree):
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


def importance(model, context, x):
    """A loss with particles: the log of an average over 14 noisy passes."""
    assert "particles" in jax.sharding.get_abstract_mesh().axis_names or not spread
    one = lambda key: -autoencoder(model, Context(key, key, 0, None), x)[0]
    terms = jax.vmap(one)(particle_keys(context.key, 14))
    return -jax.nn.logsumexp(terms), None


spread = False


def particle_shapes(mesh):
    """Shapes of the hidden layer of 16 examples x 14 particles, on each device."""
    model = make_autoencoder(jr.key(0), width=33)

    def loss(key, x):
        one = lambda x: importance(model, Context(key, key, 0, None), x)[0]
        return jax.vmap(one, spmd_axis_name="data")(split(mesh, x))

    x = np.ones((16, 3), np.float32)
    with jax.set_mesh(mesh):
        text = jax.jit(loss).lower(jr.key(0), x).compile().as_text()
    return sorted(set(re.findall(r"f32\[([0-9,]*33[0-9,]*)\]", text)))


def main(folder):
    global spread
    store = Checkpoints(folder)
    mesh = make_mesh(data=4, particles=2)
    once = lambda **changes: fit(**(settings() | {"steps": 40} | changes))
    one = once()
    many = once(mesh=mesh, checkpoints=store)
    # A checkpoint made on eight devices goes on on one, and the other way round.
    longer = once(checkpoints=store, steps=60)
    seeds = {"params": make_autoencoder, "seeds": 2, "key": jr.key(1)}
    difference = lambda a, b: float(np.max(np.abs(flat(a.params) - flat(b.params))))
    seeded = once(**seeds, mesh=mesh)
    refused = ""
    try:
        once(mesh=mesh, batch_size=18)
    except ValueError as error:
        refused = str(error)
    start = flat(settings()["params"])
    weights = many.params[0].layers[0].weight
    many_particles = {"phases": Phase(importance, optax.adam(3e-3))}
    by_one = once(**many_particles)
    spread = True
    by_many = once(**many_particles, mesh=mesh)
    print(
        json.dumps(
            {
                "devices": len(jax.devices()),
                "moved": float(np.max(np.abs(flat(one.params) - start))),
                "difference": difference(one, many),
                "longer": difference(longer, once(steps=60)),
                "seeds": difference(seeded, once(**seeds)),
                "replicas": len(weights.sharding.device_set),
                "particles": difference(by_one, by_many),
                "shapes": particle_shapes(mesh),
                "refused": refused,
            }
        )
    )


main(sys.argv[1])
