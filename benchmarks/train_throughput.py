"""Training throughput: `fit`'s compiled loop against a hand-written `jax.jit` step.

Both train the same 784-200-200-50 VAE (batch 128, Adam, float32) on the same resident
array of binary images, with the same arithmetic per step: gather a batch, draw noise,
gradient, update. Run from the project's root:

    python benchmarks/train_throughput.py [--rounds 20]

Prints a JSON object. The two take turns of 100 steps, so that the machine's other load
hits both. `ratio` is fit's rate over the hand-written step's, the median over the
rounds; `host_overhead` is the share of fit's wall time outside its compiled calls.
"""

import argparse
import json
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from taut.train import CompiledLoop, Phase, driver, fit

BATCH, SIZE, LATENT, HIDDEN, CHUNK = 128, 50_000, 50, 200, 100


class VAE(eqx.Module):
    encoder: eqx.nn.MLP
    decoder: eqx.nn.MLP

    def __init__(self, key):
        a, b = jr.split(key)
        mlp = lambda n, m, key: eqx.nn.MLP(n, m, HIDDEN, 2, jnp.tanh, key=key)
        self.encoder, self.decoder = mlp(784, 2 * LATENT, a), mlp(LATENT, 784, b)

    def negative_elbo(self, key, x):
        """-E_q[log p(x|z)] + KL(q(z|x) || N(0, I)), one draw."""
        mean, log_std = jnp.split(self.encoder(x), 2)
        z = mean + jnp.exp(log_std) * jr.normal(key, mean.shape)
        logits = self.decoder(z)
        log_lik = jnp.sum(x * logits - jax.nn.softplus(logits))
        kl = 0.5 * jnp.sum(mean**2 + jnp.exp(2 * log_std) - 1 - 2 * log_std)
        return kl - log_lik


def hand_written(model, data, optimiser):
    """The step anybody would write, and its loop over the epochs' batches."""
    params, static = eqx.partition(model, eqx.is_inexact_array)

    @jax.jit
    def step(params, state, key, data, rows):
        def loss(params):
            model = eqx.combine(params, static)
            keys = jr.split(key, BATCH)
            return jnp.mean(jax.vmap(model.negative_elbo)(keys, data[rows]))

        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimiser.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    def train(steps, key):
        p, state = params, optimiser.init(params)
        order, epoch, value = None, None, None
        for i in range(steps):
            now, place = divmod(i, SIZE // BATCH)
            if now != epoch:
                epoch, order = now, jr.permutation(jr.fold_in(key, now), SIZE)
            rows = jax.lax.dynamic_slice(order, (place * BATCH,), (BATCH,))
            p, state, value = step(p, state, jr.fold_in(key, i), data, rows)
        return jax.block_until_ready(value)

    return train


def clocks() -> np.ndarray:
    """Wall time, and the processor time of all this process's threads."""
    return np.array([time.perf_counter(), time.process_time()])


def main(rounds: int) -> dict:
    data = jr.bernoulli(jr.key(1), 0.13, (SIZE, 784)).astype(jnp.float32)
    model, optimiser = VAE(jr.key(0)), optax.adam(1e-3)
    by_hand = hand_written(model, data, optimiser)
    by_hand(3, jr.key(2))
    theirs, ours, inside = [], [], []
    began = clocks()

    # The turns: fit reports every CHUNK steps, and then it is the other's turn.
    def turn(step, metrics, rate):
        nonlocal began
        ours.append(clocks() - began)
        start = clocks()
        by_hand(CHUNK, jr.key(2))
        theirs.append(clocks() - start)
        inside.append(0.0)
        began = clocks()

    compile_loop = driver.compile_loop

    def compile_timed(*args):
        run = compile_loop(*args)
        inside.append(0.0)

        def call(*args):
            start = time.perf_counter()
            state = jax.block_until_ready(run(*args))
            inside[-1] += time.perf_counter() - start
            return state

        return call

    def loss(model, context, x):
        return model.negative_elbo(context.key, x), None

    driver.compile_loop = compile_timed
    fit(
        jr.key(2),
        model,
        Phase(loss, optimiser),
        data,
        steps=(rounds + 1) * CHUNK,
        batch_size=BATCH,
        loop=CompiledLoop(CHUNK),
        report_every=CHUNK,
        on_report=turn,
    )
    # The first turn includes the compilation.
    hand, mine = np.array(theirs[1:]), np.array(ours[1:])
    ratios = hand / mine
    overhead = 1 - np.array(inside[1:-1]) / mine[:, 0]
    return {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "rounds": rounds,
        "steps_per_round": CHUNK,
        "hand_ms_per_step": round(1e3 * float(np.median(hand[:, 0])) / CHUNK, 3),
        "fit_ms_per_step": round(1e3 * float(np.median(mine[:, 0])) / CHUNK, 3),
        "ratio": round(float(np.median(ratios[:, 0])), 3),
        "ratio_quartiles": np.quantile(ratios[:, 0], [0.25, 0.75]).round(3).tolist(),
        "ratio_of_processor_time": round(float(np.median(ratios[:, 1])), 3),
        "host_overhead": round(float(np.median(overhead)), 4),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    print(json.dumps(main(parser.parse_args().rounds), indent=2))
