"""Small problems that the engine's tests train, and a digest of what came out."""

import hashlib

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from taut.train import Phase, fit

DATA = np.random.default_rng(3).normal(2.0, 1.0, (103, 3)).astype(np.float32)
START = jnp.zeros(3, jnp.float32)


def quadratic(w, context, x):
    """Minimised by the mean of the data; a little noise shows which key was used."""
    d = w - x - 0.01 * jr.normal(context.key, x.shape, x.dtype)
    return jnp.sum(d**2), {"distance": jnp.sqrt(jnp.sum(d**2)), "d": d}


def quadratic_fit(steps=60, **changes):
    values = dict(
        params=START,
        phases=Phase(quadratic, optax.adam(1e-1)),
        data=DATA,
        batch_size=10,
        key=jr.key(0),
    )
    return fit(steps=steps, **(values | changes))


def autoencoder(model, context, x):
    """A small network, so that float rounding has somewhere to show."""
    noise = 0.1 * jr.normal(context.key, x.shape, x.dtype)
    encoder, decoder = model
    return jnp.sum((decoder(encoder(x + noise)) - x) ** 2), None


def make_autoencoder(key, width=16):
    a, b = jr.split(key)
    mlp = lambda key: eqx.nn.MLP(3, 3, width, 1, key=key, dtype=jnp.float32)
    return mlp(a), mlp(b)


def settings():
    """What every process of a multi-process test trains."""
    return dict(
        key=jr.key(5),
        params=make_autoencoder(jr.key(6)),
        phases=Phase(autoencoder, optax.adam(3e-3)),
        data=DATA,
        batch_size=16,
        polyak=0.98,
    )


def digest(tree) -> str:
    """SHA-256 of all bits of the arrays of `tree`."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array)):
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()
