"""A Gaussian model whose evidence is known, bounded from both sides.

python examples/quickstart.py
"""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.scipy.stats import norm

import taut

DIM = 10
NOISE = 0.5  # standard deviation of x given z
RUNS = 1000

# z ~ N(0, 1), and x given z ~ N(z, 0.5^2), in ten dimensions.
prior = taut.StandardNormal((DIM,))
model = taut.Joint(prior, lambda z: taut.Normal(z, jnp.full(DIM, jnp.log(NOISE))))

# An observation made by the model, together with the latent that made it. For this
# one observation that latent is an exact draw of the posterior: it pays for the
# upper end. Here the posterior is known too, and every run gets a draw of its own.
_, x = model.sample(jr.key(0))
target = taut.Conditioned(model, x)
truth = jnp.sum(norm.logpdf(x, 0.0, jnp.sqrt(1 + NOISE**2)))
variance = NOISE**2 / (1 + NOISE**2)
posterior = taut.Normal(x / (1 + NOISE**2), jnp.full(DIM, 0.5 * jnp.log(variance)))

# A guide that could be better: the wrong place, and too wide.
guide = taut.Normal(0.6 * x, jnp.full(DIM, 0.5 * jnp.log(2 * variance)))
betas = jnp.linspace(0.0, 1.0, 21)[1:]
SAMPLERS = {
    "IWAE, 100 particles": taut.Importance(guide, 100),
    "AIS, 20 temperatures": taut.Annealed(guide, taut.HMC(0.35, 3), betas),
}


@eqx.filter_jit
def both_ends(sampler, key):
    """Means of log Z_hat over many runs: below the truth, and above it."""

    def one(key):
        lkey, zkey, tkey, ukey = jr.split(key, 4)
        lower = sampler.run(lkey, target).log_z
        z = posterior.sample(zkey)
        log_target = target.log_prob(tkey, z)
        upper = sampler.run_conditional(ukey, target, z, log_target).log_z
        return lower, upper

    lower, upper = jax.vmap(one)(jr.split(key, RUNS))
    return jnp.mean(lower), jnp.mean(upper)


def main():
    print(f"{'log p(x), in nats':22} {'lower':>9} {'exact':>9} {'upper':>9} {'gap':>7}")
    for name, sampler in SAMPLERS.items():
        start = time.perf_counter()
        lower, upper = map(float, both_ends(sampler, jr.key(1)))
        seconds = time.perf_counter() - start
        row = f"{lower:9.4f} {truth:9.4f} {upper:9.4f} {upper - lower:7.4f}"
        print(f"{name:22} {row}   {seconds:4.1f} s")


if __name__ == "__main__":
    main()
