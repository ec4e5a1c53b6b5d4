"""Your own encoder and decoder: trained, then bounded from both sides.

Any callable will do. A Flax module, for one: `lambda z: module.apply(variables, z)`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax

import taut


class Encoder(eqx.Module):
    net: eqx.nn.MLP

    def __call__(self, x):
        return taut.Normal(*jnp.split(self.net(x.ravel()), 2))


class Decoder(eqx.Module):
    net: eqx.nn.MLP

    def __call__(self, z):
        return taut.Bernoulli(self.net(z).reshape(8, 8))


ekey, dkey, fkey, tkey, skey = jr.split(jr.key(0), 5)
encoder = Encoder(eqx.nn.MLP(64, 16, 128, 1, key=ekey))
decoder = Decoder(eqx.nn.MLP(8, 64, 128, 1, key=dkey))
vae = taut.Marginal(
    taut.Joint(taut.StandardNormal((8,)), decoder), taut.Amortized(encoder)
)


def loss(vae, context, x):
    return -vae.log_prob(context.key, x), None


images = taut.data.load("digits", "train").intensities() > 0.5
phase = taut.Phase(loss, optax.adam(1e-3))
data = jnp.asarray(images, float)
vae = taut.fit(fkey, vae, phase, data, steps=2000, batch_size=128).params

test = jnp.asarray(taut.data.load("digits", "test").intensities() > 0.5, float)
sharp = taut.Averaged(vae, 500)  # the IWAE bound, and its upper companion
lower = jax.jit(jax.vmap(sharp.log_prob))(jr.split(tkey, len(test)), test)
print(f"test digits:        {lower.mean():.2f} <= log p(x)")

keys = jr.split(skey, 100)
x, upper = jax.jit(jax.vmap(sharp.sample_and_log_prob))(keys)
lower = jax.jit(jax.vmap(sharp.log_prob))(keys, x)
print(f"the model's digits: {lower.mean():.2f} <= log p(x) <= {upper.mean():.2f}")
