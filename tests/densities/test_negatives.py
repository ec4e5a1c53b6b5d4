"""What the fresh points teach a proposal over coins: bias and variance, against the
exact gradient by enumeration.
"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import taut
from taut.densities.negatives import (
    by_path,
    ignored,
    leave_one_out,
    linearised,
    relaxed,
)

DIM, NUM, DRAWS = 3, 4, 20_000
# One worker makes the gradients that they share.
pytestmark = pytest.mark.xdist_group("negatives")
METHODS = (by_path, ignored, relaxed, leave_one_out, linearised)


def energy(dim=DIM, seed=0):
    net = eqx.nn.MLP(dim, "scalar", 20, 2, activation=jnp.tanh, key=jr.key(seed))
    return jax.tree.map(lambda a: 2 * a if eqx.is_inexact_array(a) else a, net)


def coins(dim=DIM):
    return 0.7 * jr.normal(jr.key(9), (dim,))


class Decoder(eqx.Module):
    matrix: jax.Array

    def __call__(self, z):
        return taut.Bernoulli(self.matrix @ z)


def bound_gradient(method, make, parameters, net, num, x, draws=DRAWS):
    """Gradients of `-log total` alone: what only the fresh points teach."""

    def total(parameters, key):
        return -method(key, make(parameters), net, num, -net(x))

    gradient = jax.jit(jax.vmap(jax.grad(total), (None, 0)))
    return gradient(parameters, jr.split(jr.key(5), draws))


def exact_gradient(logits, net, x):
    """All sets of NUM - 1 coin vectors, each with its probability."""
    states = jnp.array(list(itertools.product([0.0, 1.0], repeat=DIM)))
    sets = jnp.array(list(itertools.product(range(2**DIM), repeat=NUM - 1)))
    weights = -jax.vmap(net)(states)

    def bound(logits):
        log_q = jax.vmap(taut.Bernoulli(logits).log_density)(states)
        first = jnp.full((sets.shape[0], 1), -net(x))
        totals = jax.nn.logsumexp(jnp.concatenate([first, weights[sets]], 1), axis=1)
        return -jnp.sum(jnp.exp(jnp.sum(log_q[sets], axis=1)) * totals)

    return jax.jit(jax.grad(bound))(logits)


@pytest.fixture(scope="module")
def found():
    x = jnp.ones(DIM)
    gradients = {
        method: bound_gradient(method, taut.Bernoulli, coins(), energy(), NUM, x)
        for method in METHODS
    }
    return gradients, exact_gradient(coins(), energy(), x)


def test_values_agree():
    """The estimators differ in derivatives alone."""
    x, q, net = jnp.ones(DIM), taut.Bernoulli(coins()), energy()

    @jax.jit
    @jax.vmap
    def totals(key):
        return [method(key, q, net, NUM, -net(x)) for method in METHODS]

    path, plain, soft, one, linear = totals(jr.split(jr.key(3), 4000))
    assert jnp.array_equal(path, plain)
    assert jnp.allclose(one, linear, rtol=1e-13)
    assert abs(jnp.mean(plain - soft)) < 0.02


@pytest.mark.parametrize("method", [leave_one_out, linearised])
def test_unbiased(method, found):
    gradients, known = found
    mean, spread = jnp.mean(gradients[method], 0), jnp.std(gradients[method], 0)
    assert jnp.all(jnp.abs(mean - known) < 5 * spread / DRAWS**0.5)


@pytest.mark.parametrize("method", [by_path, ignored])
def test_ignoring_is_biased(method, found):
    """No gradient at all, where the truth is not zero."""
    gradients, known = found
    assert jnp.all(gradients[method] == 0)
    assert jnp.linalg.norm(known) > 0.05


def test_straight_through_is_biased(found):
    """Its error is real, but on this smooth energy smaller than ignoring's."""
    gradients, known = found
    mean = jnp.mean(gradients[relaxed], 0)
    spread = jnp.linalg.norm(jnp.std(gradients[relaxed], 0)) / DRAWS**0.5
    bias = jnp.linalg.norm(mean - known)
    print(f"bias {bias:.4f} +- {spread:.4f} of a gradient {jnp.linalg.norm(known):.4f}")
    assert 5 * spread < bias < jnp.linalg.norm(known)


def variance(gradients):
    return float(jnp.sum(jnp.var(gradients, 0)))


def test_variance(found):
    """Side by side, on the enumerated model and on a larger one (16 points, 6 coins).

    Straight-through has less variance but is biased; among the unbiased ones the
    linear control variate needs less than half of VIMCO's draws with 16 points.
    """
    small, _ = found
    args = taut.Bernoulli, coins(6), energy(6, 2), 16, jnp.ones(6), 4000
    large = {m: bound_gradient(m, *args) for m in (relaxed, leave_one_out, linearised)}
    for gradients in (small, large):
        print({m.__name__: round(variance(g), 5) for m, g in gradients.items()})
        assert variance(gradients[relaxed]) < variance(gradients[linearised])
        assert variance(gradients[linearised]) < variance(gradients[leave_one_out])
    assert variance(large[linearised]) < 0.5 * variance(large[leave_one_out])


@pytest.mark.parametrize("method", [leave_one_out, linearised])
def test_vae_proposal(method):
    """Coins behind a Gaussian latent: the score of the last stage, the path before it,
    against the smooth gradient of a bound that sums the coins out.
    """
    matrix, net, x = 0.8 * jr.normal(jr.key(1), (2, 1)), energy(2), jnp.ones(2)

    def make(matrix):
        joint = taut.Joint(taut.StandardNormal((1,)), Decoder(matrix))
        guide = lambda x: taut.Importance(taut.StandardNormal((1,)))
        return taut.Marginal(joint, guide)

    found = bound_gradient(method, make, matrix, net, NUM, x)
    states = jnp.array(list(itertools.product([0.0, 1.0], repeat=2)))
    sets = jnp.array(list(itertools.product(range(4), repeat=NUM - 1)))
    weights, nodes = -jax.vmap(net)(states), jnp.linspace(-7, 7, 401)

    def bound(matrix):
        law = lambda z: jax.vmap(Decoder(matrix)(z[None]).log_density)(states)
        mass = jax.scipy.stats.norm.pdf(nodes) * (nodes[1] - nodes[0])
        log_pi = jnp.log(mass @ jnp.exp(jax.vmap(law)(nodes)))
        first = jnp.full((sets.shape[0], 1), -net(x))
        totals = jax.nn.logsumexp(jnp.concatenate([first, weights[sets]], 1), axis=1)
        return -jnp.sum(jnp.exp(jnp.sum(log_pi[sets], axis=1)) * totals)

    known = jax.jit(jax.grad(bound))(matrix)
    error = jnp.std(found, 0) / DRAWS**0.5
    assert jnp.all(jnp.abs(jnp.mean(found, 0) - known) < 5 * error)


def test_as_a_field(getkey):
    """The seam: a static field of the density."""
    density = taut.SelfNormalized(taut.Bernoulli(coins()), energy(), 5, linearised)
    loss = lambda density: density.log_prob(getkey(), jnp.ones(DIM))
    grads = eqx.filter_jit(eqx.filter_grad(loss))(density)
    assert jnp.all(grads.proposal.logits != 0)


def test_refusals(getkey):
    gaussian, first = taut.StandardNormal((DIM,)), jnp.zeros(())
    for method in (relaxed, linearised):
        with pytest.raises(TypeError, match="coins"):
            method(getkey(), gaussian, energy(), NUM, first)
    inner = taut.SelfNormalized(taut.Bernoulli(coins()), energy(), 3)
    with pytest.raises(TypeError, match="tractable law"):
        leave_one_out(getkey(), inner, energy(), NUM, first)
    with pytest.raises(ValueError, match="at least 3"):
        linearised(getkey(), taut.Bernoulli(coins()), energy(), 2, first)


def test_impossible_points_are_no_nan():
    """Fresh points, and the one in hand, without weight."""
    wall = lambda x: jnp.where(x[0] > 0.5, jnp.inf, x[1])

    @jax.jit
    def total(logits, first):
        make = lambda logits: leave_one_out(
            jr.key(2), taut.Bernoulli(logits), wall, 6, first
        )
        return jax.value_and_grad(make)(logits)

    for first in (0.0, -jnp.inf):
        value, slope = total(jnp.zeros(2), first)
        assert jnp.isfinite(value)
        assert jnp.isfinite(slope).all()
