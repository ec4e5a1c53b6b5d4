"""Small problems whose constants and posteriors are known exactly."""

import itertools
from typing import ClassVar

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array

import taut

# Linear-Gaussian: z ~ N(0, 1), x given z ~ N(z, 0.5^2), in two dimensions.
DIM = 2
NOISE = 0.25  # variance of x given z


def observation() -> Array:
    return jnp.array([0.7, -0.4])


class Linear(eqx.Module):
    """z -> N(z, 0.25)."""

    def __call__(self, z):
        return taut.Normal(z, jnp.full_like(z, 0.5 * jnp.log(NOISE)))


class LinearGuide(eqx.Module):
    """x -> a Gaussian near the posterior of z, with 1.25 times its variance."""

    shift: float = eqx.field(static=True, default=0.1)

    def __call__(self, x):
        loc = x / (1 + NOISE) + self.shift
        return taut.Normal(
            loc, jnp.full_like(x, 0.5 * jnp.log(1.25 * NOISE / (1 + NOISE)))
        )


def gaussian_joint(dim: int = DIM):
    return taut.Joint(taut.Normal(jnp.zeros(dim), jnp.zeros(dim)), Linear())


def gaussian_target():
    return taut.Conditioned(gaussian_joint(), observation())


def gaussian_log_z(x=None):
    """The evidence of one observation."""
    x = observation() if x is None else x
    return jnp.sum(norm.logpdf(x, 0.0, jnp.sqrt(1 + NOISE)))


def gaussian_posterior(x=None):
    x = observation() if x is None else x
    return taut.Normal(
        x / (1 + NOISE), jnp.full_like(x, 0.5 * jnp.log(NOISE / (1 + NOISE)))
    )


def gaussian_guide(x=None):
    return LinearGuide()(observation() if x is None else x)


def wide_normal(dim: int = DIM, scale: float = 1.4):
    """A reference for densities of about unit size."""
    return taut.Normal(jnp.zeros(dim), jnp.full(dim, jnp.log(scale)))


# Finite states 0 .. 3.
class Table(eqx.Module):
    """state -> a number (an energy, a critic)."""

    values: Array

    def __call__(self, z):
        return self.values[z]


class Rows(eqx.Module):
    """state -> a categorical density."""

    logits: Array

    def __call__(self, z):
        return taut.Categorical(self.logits[z])

    def log_density_at(self, x):
        """Of `x`, at every state."""
        return jax.nn.log_softmax(self.logits, axis=-1)[:, x]


STATES = 4


def finite_proposal():
    return taut.Categorical(jnp.array([0.0, 0.5, -0.5, 0.2]))


def other_proposal():
    return taut.Categorical(jnp.array([0.5, 0.0, 0.3, -0.4]))


def finite_energy():
    return Table(jnp.array([0.6, -0.5, 0.4, 0.1]))


def finite_target():
    return taut.Tilted(finite_proposal(), finite_energy())


def finite_logits(target) -> Array:
    """The values of an exact target at every state."""
    key = jr.key(0)
    return jax.vmap(lambda z: target.log_prob(key, z))(jnp.arange(STATES))


def finite_rows():
    return Rows(
        jnp.array(
            [
                [0.0, 1.0, 0.0, -1.0],
                [1.0, 0.0, -1.0, 0.5],
                [0.2, 0.2, 1.0, 0.0],
                [0.0, -0.5, 0.5, 1.0],
            ]
        )
    )


def uniform_states(num: int = STATES):
    """A reference for densities over the states."""
    return taut.Categorical(jnp.zeros(num))


def uniform_rows():
    return Rows(jnp.zeros((STATES, STATES)))


def enumerate_induced(target, proposal, num):
    """The probabilities of `Induced(target, Importance(proposal, num))`, exactly."""
    proposed = jax.nn.log_softmax(proposal.logits)
    log_weight = finite_logits(target) - proposed
    probs = np.zeros(STATES)
    for draws in itertools.product(range(STATES), repeat=num):
        states = np.array(draws)
        weights = np.exp(np.asarray(log_weight[states], float))
        chance = np.exp(np.asarray(proposed[states], float).sum())
        np.add.at(probs, states, chance * weights / weights.sum())
    return jnp.asarray(probs)


class Rejection(eqx.Module):
    """Exact draws of the latent, each with the estimate of the joint it was made with:
    for models whose density is only estimated and whose events are categories.
    """

    joint: taut.Joint
    x: Array
    log_bound: Array  # of the likelihood of `x`

    def __call__(self, key):
        def again(carry):
            key, *_ = carry
            key, dkey, xkey, akey = jr.split(key, 4)
            z, log_prior = self.joint.prior.sample_and_log_prob(dkey)
            log_likelihood = self.joint.likelihood(z).log_prob(xkey, self.x)
            accept = jnp.log(jr.uniform(akey)) < log_likelihood - self.log_bound
            return key, z, log_prior + log_likelihood, accept

        start = (key, *again((key,))[1:3], jnp.zeros((), bool))
        _, z, log_joint, _ = lax.while_loop(lambda carry: ~carry[3], again, start)
        return z, log_joint


# One dimension, any smooth positive target: sums over a grid.
class Grid(taut.AbstractExact[Array]):
    """The normalised target of one dimension, by quadrature. Events have shape (1,)."""

    points: Array
    log_values: Array
    target: taut.AbstractTarget
    reparameterised: ClassVar[bool] = False

    def __init__(self, target, low=-8.0, high=8.0, num=4001):
        self.points = jnp.linspace(low, high, num)
        key = jr.key(0)
        self.log_values = jax.vmap(lambda z: target.log_prob(key, z[None]))(self.points)
        self.target = target

    @property
    def log_z(self):
        step = self.points[1] - self.points[0]
        return jax.nn.logsumexp(self.log_values) + jnp.log(step)

    def draw(self, key):
        # The midpoint rule's own law: a point by its weight, spread over its cell.
        ikey, ukey = jr.split(key)
        step = self.points[1] - self.points[0]
        i = jr.categorical(ikey, self.log_values)
        return self.points[i][None] + step * jr.uniform(
            ukey, (1,), minval=-0.5, maxval=0.5
        )

    def log_density(self, x):
        return self.target.log_prob(jr.key(0), x) - self.log_z
