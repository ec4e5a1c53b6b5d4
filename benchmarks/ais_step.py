"""Time a step of AIS training, ours against PyTorch, in one run on the same threads.

The paper's networks (784-200-200-50 tanh), batch 128, K = 5 chains, T = 11 (ten moves),
L = 5 leapfrog steps; decoder step at the ends of the chains, then the encoder's own
ELBO, Adam for both. Batches of either take turns, so that other work on the machine
falls on both alike.

PyTorch's version is meant to be as fast as plain PyTorch goes on a CPU: chains and
examples are one batch of 640 rows; the slope and the value at a point are carried, so a
move takes L gradients and one value; slopes in z leave the weights' gradients out; Adam
is fused. `--by-hand` writes the decoder's slope out, without autograd; `--library` has
PyTorch's own function for the likelihood; `--compile` uses `torch.compile`.

    python benchmarks/ais_step.py --rounds 20
    python benchmarks/ais_step.py --rounds 20 --by-hand --compile
"""

import argparse
import os
import statistics
import time

THREADS = int(os.environ.get("THREADS", "2"))
os.environ["OMP_NUM_THREADS"] = str(THREADS)
affinity = sorted(os.sched_getaffinity(0))[:THREADS]
os.sched_setaffinity(0, affinity)  # XLA takes as many threads as there are cores

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import jax.random as jr  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402, N812

from taut.papers.annealed import AIS, AnnealedVAE  # noqa: E402
from taut.papers.experiment import Splits  # noqa: E402
from taut.train import fit  # noqa: E402

BATCH, CHAINS, MOVES, LEAPFROGS, LATENT, PIXELS = 128, 5, 10, 5, 50, 784


def images():
    return (np.random.RandomState(0).rand(1280, 28, 28) < 0.2).astype(np.float32)


def ours(steps, rounds, between):
    """Seconds of a step of `fit`, every `steps` of them; `between` takes its turn then,
    while the clock of `fit` stands still.
    """
    settings = AnnealedVAE(steps=10**6, inference=AIS(CHAINS))
    x, rates = images(), []
    splits = Splits(x, None, x, digest="made", mean=x.mean(0))

    def report(step, metrics, rate):
        rates.append(rate)
        print(f"step {step}: {1 / rate:.3f} s, then {between():.3f} s", flush=True)

    fit(
        jr.key(1),
        settings.make(jr.key(0), splits),
        settings.phases(),
        jnp.asarray(x),
        state=settings.state(),
        steps=(rounds + 1) * steps,
        batch_size=BATCH,
        report_every=steps,
        on_report=report,
    )
    return [1 / rate for rate in rates[1:]]


class Torch:
    """The same step by hand, with nothing that PyTorch would do twice."""

    def __init__(self, *, compiled, by_hand, library):
        torch.set_num_threads(THREADS)
        torch.manual_seed(0)
        make = torch.nn.Linear
        self.body = torch.nn.ModuleList([make(PIXELS, 200), make(200, 200)])
        self.heads = torch.nn.ModuleList([make(200, LATENT), make(200, LATENT)])
        sizes = ((LATENT, 200), (200, 200), (200, PIXELS))
        self.decoder = torch.nn.ModuleList([make(*size) for size in sizes])
        adam = {"lr": 1e-3, "eps": 1e-4, "fused": True}
        self.theta = torch.optim.Adam(self.decoder.parameters(), **adam)
        guide = [*self.body.parameters(), *self.heads.parameters()]
        self.phi = torch.optim.Adam(guide, **adam)
        self.data = torch.from_numpy(images().reshape(-1, PIXELS))
        self.step_size = torch.full((MOVES,), 0.1)
        self.betas = torch.arange(1, MOVES + 1) / MOVES
        point = self._by_hand if by_hand else self._by_autograd
        compiler = torch.compile if compiled else lambda function: function
        likelihood = self._library_likelihood if library else self._likelihood
        self.point, self.likelihood = compiler(point), compiler(likelihood)

    def encode(self, x):
        h = x
        for layer in self.body:
            h = torch.tanh(layer(h))
        return self.heads[0](h), self.heads[1](h)

    def decode(self, z):
        h = torch.tanh(self.decoder[0](z))
        return self.decoder[2](torch.tanh(self.decoder[1](h)))

    def log_joint(self, z, x):
        return self.likelihood(self.decode(z), x) - 0.5 * (z * z).sum(1)

    def _by_hand(self, z, x):
        """The logits, and the slope of log p(x | z) in z, without autograd."""
        a, b, c = self.decoder
        h = torch.tanh(a(z))
        k = torch.tanh(b(h))
        logits = c(k)
        back = ((x - torch.sigmoid(logits)) @ c.weight) * (1 - k * k)
        back = (back @ b.weight) * (1 - h * h)
        return logits, back @ a.weight

    def _by_autograd(self, z, x):
        """The same by `autograd.grad`, which leaves the weights' gradients out. What
        comes back from the likelihood is written out: its own backward is slower.
        """
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            logits = self.decode(z)
            residual = x - torch.sigmoid(logits.detach())
            (slope,) = torch.autograd.grad(logits, z, residual)
        return logits.detach(), slope

    def _likelihood(self, logits, x):
        # A quarter of the time of `binary_cross_entropy_with_logits` and of `softplus`.
        softplus = logits.relu() + torch.log(1 + torch.exp(-logits.abs()))
        return (x * logits - softplus).sum(1)

    def _library_likelihood(self, logits, x):
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)

    @torch.no_grad()
    def chains(self, loc, log_scale, x):
        """Ends and log weights of all chains, and the acceptance of every move."""
        loc, x = loc.repeat_interleave(CHAINS, 0), x.repeat_interleave(CHAINS, 0)
        log_scale = log_scale.repeat_interleave(CHAINS, 0)
        precision = torch.exp(-2 * log_scale)
        log_q = lambda z: (-0.5 * (z - loc) ** 2 * precision - log_scale).sum(1)
        slope_q = lambda z: (loc - z) * precision

        def value(z, logits):
            return self.likelihood(logits, x) - 0.5 * (z * z).sum(1)

        z = loc + torch.exp(log_scale) * torch.randn_like(loc)
        logits, slope = self.point(z, x)
        q, gq, p, gp = log_q(z), slope_q(z), value(z, logits), slope - z
        log_w, before, accepted = torch.zeros(len(z)), 0.0, []
        for t in range(MOVES):
            beta, eps = self.betas[t], self.step_size[t]
            log_w = log_w + (beta - before) * (p - q)
            before = beta
            momentum = torch.randn_like(z)
            kinetic = 0.5 * (momentum**2).sum(1)
            y, mq, mp = z, gq, gp
            for _ in range(LEAPFROGS):
                momentum = momentum + 0.5 * eps * ((1 - beta) * mq + beta * mp)
                y = y + eps * momentum
                logits, slope = self.point(y, x)
                mq, mp = slope_q(y), slope - y
                momentum = momentum + 0.5 * eps * ((1 - beta) * mq + beta * mp)
            yq, yp = log_q(y), value(y, logits)
            ratio = (1 - beta) * (yq - q) + beta * (yp - p)
            ratio = ratio + kinetic - 0.5 * (momentum**2).sum(1)
            yes = torch.rand(len(z)).log() < ratio
            accepted.append(ratio.clamp(max=0).exp().mean())
            q, p = torch.where(yes, yq, q), torch.where(yes, yp, p)
            pick = yes[:, None]
            z, gq = torch.where(pick, y, z), torch.where(pick, mq, gq)
            gp = torch.where(pick, mp, gp)
        return z, log_w, x, torch.stack(accepted)

    def step(self):
        x = self.data[torch.randint(len(self.data), (BATCH,))]
        with torch.no_grad():
            loc, log_scale = self.encode(x)
        z, log_w, many, accepted = self.chains(loc, log_scale, x)
        probs = torch.softmax(log_w.view(BATCH, CHAINS), 1).reshape(-1)
        loss = -(probs * self.log_joint(z, many)).sum() / BATCH
        self.theta.zero_grad()
        loss.backward()
        self.theta.step()
        factor = torch.where(accepted >= 0.6, 1.002, 0.998)
        self.step_size = (self.step_size * factor).clamp(1e-3, 0.3)
        loc, log_scale = self.encode(x)
        z = loc + torch.exp(log_scale) * torch.randn_like(loc)
        for parameter in self.decoder.parameters():
            parameter.requires_grad_(requires_grad=False)
        entropy = log_scale.sum(1)
        loss = -(self.log_joint(z, x) + entropy).mean()
        self.phi.zero_grad()
        loss.backward()
        self.phi.step()
        for parameter in self.decoder.parameters():
            parameter.requires_grad_(requires_grad=True)

    def seconds(self, steps):
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        return (time.perf_counter() - start) / steps


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--by-hand", action="store_true")
    parser.add_argument("--library", action="store_true")
    args = parser.parse_args()
    theirs = Torch(compiled=args.compile, by_hand=args.by_hand, library=args.library)
    turns = []
    theirs.seconds(3)
    load = os.getloadavg()

    def turn():
        turns.append(theirs.seconds(args.steps))
        return turns[-1]

    mine = ours(args.steps, args.rounds, turn)
    found = list(zip(mine, turns[1:]))
    print(f"jax {jax.__version__}, torch {torch.__version__}, {THREADS} threads")
    print(f"{args}, load {load}")
    for name, times in zip(("taut", "PyTorch"), zip(*found)):
        middle = statistics.median(times)
        print(
            f"{name}: {1e3 * middle:.1f} ms a step, {1e3 * middle / BATCH:.2f} an image"
        )
    ratios = sorted(a / b for a, b in found)
    quarter = len(ratios) // 4
    print(
        f"ratio: median {statistics.median(ratios):.3f}, quartiles "
        f"{ratios[quarter]:.3f} and {ratios[-1 - quarter]:.3f}"
    )


if __name__ == "__main__":
    main()
