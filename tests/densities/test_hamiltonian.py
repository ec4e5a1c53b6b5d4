"""HIS: the flow, its inverse, its Jacobian, its gradients, its refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpyro.distributions as npd
import pytest

import taut
from taut import Hamiltonian, HamiltonianImportance
from taut.densities.transformed import Stretch


class Net(eqx.Module):
    """An energy with a curved gradient."""

    net: eqx.nn.MLP

    def __init__(self, size):
        self.net = eqx.nn.MLP(size, "scalar", 8, 2, activation=jnp.tanh, key=jr.key(7))

    def __call__(self, x):
        return 3 * self.net(x)


class Momentum(eqx.Module):
    gain: jax.Array

    def __call__(self, x):
        return taut.Normal(self.gain * x, jnp.zeros_like(x))


def flow(size=3):
    return Hamiltonian(
        taut.StandardNormal((size,)),
        Net(size),
        jnp.linspace(0.2, 0.5, size),
        jnp.array([0.9, 0.7, 0.95, 0.8]),
    )


def test_unit_jacobian(getkey):
    dynamics = flow()
    m, x = jr.normal(getkey(), (2, 3))
    whole = lambda both: jnp.concatenate(dynamics.flow(both[:3], both[3:]))
    jacobian = jax.jit(jax.jacfwd(whole))(jnp.concatenate([m, x]))
    assert jnp.allclose(jnp.linalg.slogdet(jacobian)[1], 0.0, atol=1e-12)
    assert not jnp.allclose(jacobian, jnp.eye(6), atol=0.1)


def test_exact_inverse(getkey):
    dynamics = flow()
    start = tuple(jr.normal(getkey(), (2, 3)))
    back = jax.jit(lambda m, x: dynamics.inverse(*dynamics.flow(m, x)))(*start)
    assert all(jnp.allclose(a, b, atol=1e-12) for a, b in zip(start, back))
    there = jax.jit(lambda m, x: dynamics.flow(*dynamics.inverse(m, x)))(*start)
    assert all(jnp.allclose(a, b, atol=1e-12) for a, b in zip(start, there))


def test_exact_inverse_in_float32(float32, getkey):
    dynamics = flow()
    start = tuple(jr.normal(getkey(), (2, 3)))
    back = jax.jit(lambda m, x: dynamics.inverse(*dynamics.flow(m, x)))(*start)
    assert all(jnp.allclose(a, b, atol=1e-4) for a, b in zip(start, back))


def test_density_goes_with_the_flow(getkey):
    """What `sample` says of its pair, `log_prob` says too."""
    (m, x), log_prob = flow().sample_and_log_prob(getkey())
    assert jnp.allclose(flow().log_prob(getkey(), (m, x)), log_prob, rtol=1e-12)


def test_no_energy_spreads(getkey):
    """U = 0, alpha = 1, eps = 0.1, T = 5: the position is N(0, 1.25 I)."""
    zero = lambda x: 0.0 * jnp.sum(x)
    # Momentum given position: covariance eps T, variance 1 - (eps T)^2 / 1.25.
    guide = lambda x: taut.Normal(0.4 * x, jnp.full(2, 0.5 * jnp.log(0.8)))
    density = HamiltonianImportance(
        taut.StandardNormal((2,)), zero, 0.1, jnp.ones(5), guide
    )
    known = taut.Normal(jnp.zeros(2), jnp.full(2, 0.5 * jnp.log(1.25)))
    x = jnp.array([0.8, -1.1])
    assert jnp.allclose(density.log_prob(getkey(), x), known.log_density(x))
    x, log_prob = density.sample_and_log_prob(getkey())
    assert jnp.allclose(log_prob, known.log_density(x))


def test_a_quadratic_energy_is_a_linear_map(getkey):
    """U = k |x|^2 / 2: `x_T = A x_0 + B rho_0`, so `x_T ~ N(0, A^2 + B^2)`, and the
    bound is exact where the guide is the law of the momentum at `x_T`.
    """
    energy = lambda x: 0.5 * 0.3 * jnp.sum(x**2)
    parts = taut.StandardNormal((2,)), energy, 0.4, jnp.array([0.9, 0.8, 0.95])
    end = lambda m, x: jnp.stack(Hamiltonian(*parts).flow(m, x))[:, 0]
    one, zero = jnp.ones(2), jnp.zeros(2)
    (c, a), (d, b) = end(zero, one), end(one, zero)  # of x_0, of rho_0
    variance = a**2 + b**2
    slope = (a * c + b * d) / variance
    rest = c**2 + d**2 - slope**2 * variance
    guide = lambda x: taut.Normal(slope * x, jnp.full(2, 0.5 * jnp.log(rest)))
    density = HamiltonianImportance(*parts, guide)
    known = taut.Normal(zero, jnp.full(2, 0.5 * jnp.log(variance)))
    x = jnp.array([0.8, -1.1])
    assert jnp.allclose(density.log_prob(getkey(), x), known.log_density(x))
    x, log_prob = density.sample_and_log_prob(getkey())
    assert jnp.allclose(log_prob, known.log_density(x))
    assert not jnp.allclose(variance, 1.0, atol=0.1)


def test_no_step_is_the_proposal(getkey):
    """With steps of size zero the position stays; the momentum's own law is left."""
    guide = lambda x: taut.StandardNormal((2,))
    parts = taut.StandardNormal((2,)), Net(2), 0.0, jnp.array([0.9, 0.8]), guide
    density = HamiltonianImportance(*parts)
    x = jnp.array([0.3, 0.2])
    known = taut.StandardNormal((2,)).log_density(x)
    assert jnp.allclose(density.log_prob(getkey(), x), known, rtol=1e-14)


def test_temperatures_multiply_to_one():
    """`alpha_0` undoes the others, so that momentum returns where nothing moves it."""
    zero = lambda x: 0.0 * jnp.sum(x)
    dynamics = Hamiltonian(
        taut.StandardNormal((1,)), zero, 0.3, jnp.array([0.9, 0.5, 0.7])
    )
    m, _ = dynamics.flow(jnp.ones(1), jnp.zeros(1))
    assert jnp.allclose(m, 1.0)
    assert jnp.allclose(dynamics.alphas, jnp.array([0.9, 0.5, 0.7]))
    assert jnp.allclose(dynamics.step_size, 0.3)


def test_large_steps_are_kept(float32):
    """Where their exponential overflows, too."""
    steps = jnp.array([0.0, 1e-6, 0.1, 20.0, 500.0])
    dynamics = Hamiltonian(taut.StandardNormal((5,)), jnp.sum, steps, jnp.ones(1))
    assert jnp.allclose(dynamics.step_size, steps, rtol=1e-5, atol=0)


def test_gradients_are_second_order(getkey):
    """Of energy, steps, temperatures and guide, against finite differences."""
    key, x = getkey(), jnp.array([0.5, -0.3])
    density = HamiltonianImportance(
        taut.Normal(jnp.array([0.1, 0.2]), jnp.zeros(2)),
        Net(2),
        jnp.array([0.3, 0.4]),
        jnp.array([0.9, 0.8]),
        Momentum(jnp.array(0.2)),
    )
    dynamic, static = eqx.partition(density, eqx.is_inexact_array)
    flat, unravel = jax.flatten_util.ravel_pytree(dynamic)
    loss = jax.jit(lambda flat: eqx.combine(unravel(flat), static).log_prob(key, x))
    found = jax.jit(jax.grad(loss))(flat)
    directions = jr.normal(getkey(), (5, flat.size))
    for direction in directions:
        step = 1e-5 * direction
        known = (loss(flat + step) - loss(flat - step)) / 2e-5
        assert jnp.allclose(found @ direction, known, rtol=1e-6)
    # Every part has a share in it.
    shares = unravel(found)
    assert jnp.all(shares.hamiltonian.raw_step_size != 0)
    assert jnp.all(shares.hamiltonian.raw_alphas != 0)
    assert shares.momentum.gain != 0


def test_estimated_proposal_sees_the_start(getkey):
    """A VAE proposal is scored where the flow came from, by its own estimate."""
    joint = taut.Joint(taut.StandardNormal((2,)), lambda z: taut.Normal(z, z * 0))
    guide = taut.Amortized(lambda x: taut.Normal(x / 2, jnp.zeros(2)))
    vae = taut.Marginal(joint, guide)
    dynamics = Hamiltonian(vae, Net(2), 0.3, jnp.array([0.9]))
    key, m, x = getkey(), jnp.ones(2), jnp.array([0.2, 0.4])
    start = dynamics.inverse(m, x)
    known = vae.log_prob(jr.split(key)[0], start[1])
    known = known + taut.StandardNormal((2,)).log_density(start[0])
    assert jnp.allclose(dynamics.log_prob(key, (m, x)), known, rtol=1e-13)


@pytest.mark.parametrize(
    "proposal",
    [
        taut.Bernoulli(jnp.zeros(3)),
        taut.DiscretizedLogistic(jnp.zeros(3), jnp.zeros(3)),
        taut.Exact(npd.Poisson(jnp.ones(3))),
        taut.Averaged(taut.Bernoulli(jnp.zeros(3)), 2),
        taut.Marginal(
            taut.Joint(taut.StandardNormal((3,)), taut.Bernoulli),
            lambda x: taut.Importance(taut.StandardNormal((3,))),
        ),
        taut.SelfNormalized(taut.Bernoulli(jnp.zeros(3)), jnp.sum, 4),
        taut.TruncatedRejection(taut.Bernoulli(jnp.zeros(3)), jnp.sum, 4),
        taut.IndexedTruncatedRejection(taut.Bernoulli(jnp.zeros(3)), jnp.sum, 4),
        taut.Transformed(taut.Bernoulli(jnp.zeros(3)), Stretch(2.0)),
    ],
    ids=[
        *("coins", "pixels", "counts", "averaged", "vae"),
        *("weighed", "accepted", "indexed", "stretched"),
    ],
)
def test_discrete_proposals(proposal):
    with pytest.raises(TypeError, match="continuous events"):
        Hamiltonian(proposal, jnp.sum, 0.1, jnp.ones(2))


def test_float32_events_beside_float64_settings(getkey):
    """As they are with x64 on: step sizes are Python numbers, networks float32."""
    base = taut.Normal(jnp.zeros(2, jnp.float32), jnp.zeros(2, jnp.float32))
    dynamics = Hamiltonian(base, lambda x: jnp.sum(x**2), 0.1, jnp.ones(2) * 0.9)
    assert dynamics.step_size.dtype == jnp.float64
    (m, x), above = dynamics.sample_and_log_prob(getkey())
    assert m.dtype == x.dtype == jnp.float32
    assert jnp.allclose(dynamics.log_prob(getkey(), (m, x)), above, rtol=1e-5)


def test_refusals(getkey):
    base = taut.StandardNormal((3,))
    with pytest.raises(ValueError, match="T of at least 1"):
        Hamiltonian(base, jnp.sum, 0.1, jnp.ones(0))
    for step_size in (-0.1, jnp.inf, jnp.nan):
        with pytest.raises(ValueError, match="must be finite and not negative"):
            Hamiltonian(base, jnp.sum, step_size, jnp.ones(2))
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
        Hamiltonian(base, jnp.sum, 0.1, jnp.array([0.5, 1.2]))
    dynamics = Hamiltonian(base, jnp.sum, jnp.full(2, 0.1), jnp.ones(2))
    with pytest.raises(ValueError, match=r"shape \(\) or that of events, \(3,\)"):
        dynamics.sample(getkey())
    dynamics = Hamiltonian(base, jnp.sum, 0.1, jnp.ones(2))
    with pytest.raises(TypeError, match="real numbers"):
        dynamics.log_prob(getkey(), (jnp.zeros(3), jnp.zeros(3, int)))
    with pytest.raises(ValueError, match="shape"):
        dynamics.log_prob(getkey(), (jnp.zeros(2), jnp.zeros(3)))
    vector = Hamiltonian(base, lambda x: x, 0.1, jnp.ones(2))
    with pytest.raises(ValueError, match="The energy must return one real number"):
        vector.sample(getkey())
