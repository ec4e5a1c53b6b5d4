"""The 8-device test's own process: the same evaluation on one device and on eight."""

import json

import jax
import jax.random as jr
import numpy as np

from taut.distributed import make_mesh
from taut.evaluation import AnnealedEnds, gather
from taut.papers.annealed.exact import linear_gaussian
from taut.schedules import linear


def main():
    jax.config.update("jax_enable_x64", val=True)
    model = linear_gaussian(2)
    ends = AnnealedEnds(model.marginal, linear(20), 4, 3, 0.3)
    images = np.asarray(model.examples(jr.key(0), 8))

    def values(mesh):
        with jax.set_mesh(mesh):
            found = gather(list(ends.lower(jr.key(1), images, block=8)))
        return found.end.value

    one = jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
    alone = values(one)
    meshes = {"data": make_mesh(data=8), "both": make_mesh(data=2, particles=4)}
    apart = {name: values(mesh) - alone for name, mesh in meshes.items()}
    told = {name: float(np.max(np.abs(gap))) for name, gap in apart.items()}
    print(json.dumps(told | {"devices": len(jax.devices()), "size": alone.size}))


main()
