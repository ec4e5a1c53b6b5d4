"""Gradients through annealing, their memory, and how many one move takes."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import pytest
from jaxtyping import Array
from scalar_gaussian import start as guide

import taut
from contract import problems as p
from taut import schedules
from taut.core.kernel import Path


def bound(proposal, kernel, betas, scale, key):
    """A lower end with a parameter in every place."""
    target = taut.Tilted(taut.Normal(jnp.zeros(2), scale), lambda z: jnp.sum(z**4) / 8)
    return taut.Annealed(proposal, kernel, betas, 3).run(key, target).log_z


def test_langevin_gradients_are_those_of_the_whole_chain(getkey):
    proposal = p.gaussian_guide()
    learned = schedules.Learned(schedules.sigmoid(3))
    kernel = taut.Langevin(jnp.array([0.3, 0.2, 0.4]))
    args = (proposal, kernel, learned, jnp.array([0.1, -0.1]))
    flat, unravel = jax.flatten_util.ravel_pytree(args)
    key = getkey()
    loss = jax.jit(lambda flat: bound(*unravel(flat), key))
    grad = jax.grad(loss)(flat)
    small = 1e-5 * jnp.eye(flat.size)
    finite = jax.vmap(lambda d: (loss(flat + d) - loss(flat - d)) / 2e-5)(small)
    assert jnp.allclose(grad, finite, rtol=1e-6, atol=1e-7)
    assert jnp.all(jnp.abs(finite) > 1e-4)  # every parameter counts


def test_no_gradient_flows_through_metropolis(getkey):
    """The model's gradient is the weighted average at the ends; the rest has none."""
    key = getkey()
    sampler = taut.Annealed(
        p.gaussian_guide(), taut.HMC(0.3, 2), schedules.linear(3), 4
    )
    joint = p.gaussian_joint()

    def loss(both, key):
        joint, sampler = both
        return sampler.run(key, taut.Conditioned(joint, p.observation())).log_z

    model, rest = eqx.filter_jit(eqx.filter_grad(loss))((joint, sampler), key)
    assert all(jnp.all(leaf == 0) for leaf in jtu.tree_leaves(rest))
    particles = eqx.filter_jit(sampler.run)(key, p.gaussian_target())
    at_ends = jnp.sum(particles.probs[:, None] * particles.value, 0)  # d log N(z; m)/dm
    assert jnp.allclose(model.prior.loc, at_ends)
    assert float(jnp.max(jnp.abs(at_ends))) > 0.05


def test_memory_of_the_gradient_is_free_of_the_length():
    def size(num):
        def loss(joint):
            target = taut.Conditioned(joint, jnp.zeros(50))
            q = taut.Normal(jnp.zeros(50), jnp.zeros(50))
            kernel = taut.HMC(0.1, 5)
            sampler = taut.Annealed(q, kernel, schedules.linear(num), 20)
            return sampler.run(jr.key(0), target).log_z

        step = eqx.filter_jit(eqx.filter_grad(loss))
        compiled = step.lower(p.gaussian_joint(50)).compile().compiled
        return compiled.memory_analysis().temp_size_in_bytes

    # Acceptances and ratios of 45 more temperatures, 20 chains, are 14 kB.
    assert size(50) - size(5) < 30_000


# What one move costs.


class Counted(taut.AbstractTarget[Array]):
    """Its gradient takes one cosine."""

    exact: ClassVar[bool] = True

    def log_prob(self, key, x):
        return jnp.sin(jnp.sum(x)) - jnp.sum(x**2)


def count(jaxpr, name):
    """How often a primitive is executed, loops included."""
    total = 0
    for eqn in jaxpr.eqns:
        total += eqn.primitive.name == name
        times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        for value in eqn.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += times * count(inner, name)
    return total


@pytest.mark.parametrize(
    ("kernel", "gradients"),
    [
        (taut.HMC(0.1, 5), 5),
        (taut.HMC(0.1, 1), 1),
        (taut.MALA(0.1), 1),
        (taut.Langevin(0.1), 1),
        (taut.RandomWalk(0.1), 0),
    ],
)
def test_gradients_of_a_move(kernel, gradients):
    path = Path(guide(), Counted(), jr.key(0), jnp.ones(2))
    state = kernel.init(path, jnp.zeros(1))
    move = lambda key, state: kernel.forward(key, path, 1, state)
    jaxpr = jax.make_jaxpr(move)(jr.key(0), state).jaxpr
    assert count(jaxpr, "cos") == gradients
    sampler = taut.Annealed(guide(), kernel, schedules.linear(7), 3)
    run = jax.make_jaxpr(lambda key: sampler.run(key, Counted()))(jr.key(0)).jaxpr
    first = 0 if gradients == 0 else 1
    assert count(run, "cos") == first + 7 * gradients
