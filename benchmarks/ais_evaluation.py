"""Time and size an evaluation by annealing: 1,000 images x 16 chains x 1,000
temperatures x 10 leapfrog steps through the paper's networks, or a fraction of it.

The blocks of `taut evaluate RUN --bound ais` hold 50 images; as many as `--blocks` of
them are timed after one that is not, and the whole is multiplied out from there.

    python benchmarks/ais_evaluation.py --blocks 1
"""

import argparse
import os
import resource
import time

import jax
import jax.random as jr
import numpy as np

from taut import schedules
from taut.evaluation import AnnealedEnds
from taut.papers.annealed.memory import PIXELS, evaluating, vae


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--block", type=int, default=50)
    parser.add_argument("--chains", type=int, default=16)
    parser.add_argument("--temperatures", type=int, default=1000)
    args = parser.parse_args()
    ends = AnnealedEnds(
        vae().marginal(), schedules.linear(args.temperatures), args.chains, 10
    )
    num = (1 + args.blocks) * args.block
    images = (np.random.RandomState(0).rand(num, *PIXELS) < 0.2).astype(np.float32)
    marks = []
    for block in ends.lower(jr.key(0), images, block=args.block):
        jax.block_until_ready(block)
        marks.append(time.perf_counter())
    each = (marks[-1] - marks[0]) / args.blocks / args.block
    gradients = args.chains * args.temperatures * 10 / each
    size = evaluating(args.block, args.temperatures, args.chains)
    whole = evaluating(1000, args.temperatures, args.chains)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"jax {jax.__version__}, {os.cpu_count()} cores, load {os.getloadavg()}")
    print(f"{args}: {each:.2f} s an image, {gradients:,.0f} decoder gradients/s")
    print(f"1,000 images: {1000 * each / 60:.0f} minutes at this rate")
    print(
        f"temporaries: {size / 2**20:.1f} MB a block, {whole / 2**20:.1f} MB for 1,000"
    )
    print(f"peak of the process: {peak:.0f} MB")


if __name__ == "__main__":
    main()
