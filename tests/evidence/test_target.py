"""Log joints of pytrees: constants kept, mistakes named."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as npd
import pytest
from numpyro.distributions import constraints

from taut.evidence import LogJoint, Whitened, black_box

KEY = jr.key(0)


def half_cauchy(params):
    return npd.HalfCauchy(2.0).log_prob(params["tau"])


def test_log_jacobian_keeps_the_constant():
    target = LogJoint(half_cauchy, {"tau": 1.0}, {"tau": constraints.positive})
    grid = jnp.linspace(-40.0, 40.0, 20_001)
    log_prob = jax.vmap(lambda u: target.log_prob(KEY, u[None]))(grid)
    log_z = jax.nn.logsumexp(log_prob) + jnp.log(grid[1] - grid[0])
    np.testing.assert_allclose(log_z, 0.0, atol=1e-6)


def test_simplex_loses_a_dimension_and_comes_back():
    log_joint = lambda p: npd.Dirichlet(jnp.ones(3)).log_prob(p["p"]) + p["m"]
    example = {"p": jnp.ones(3) / 3, "m": 0.5}
    target = LogJoint(log_joint, example, {"p": constraints.simplex})
    assert target.size == 3
    u = jnp.array([0.3, -1.0, 0.7])
    np.testing.assert_allclose(target.unconstrain(target.constrain(u)), u, rtol=1e-6)


def test_a_broken_constraint_has_no_vector():
    target = LogJoint(half_cauchy, {"tau": 1.0}, {"tau": constraints.positive})
    assert not np.all(np.isfinite(target.unconstrain({"tau": jnp.array(-1.0)})))


def test_whitening_keeps_the_constant():
    target = LogJoint(lambda z: jnp.sum(npd.Normal(0, 1).log_prob(z)), jnp.zeros(2))
    white = Whitened(target, jnp.ones(2), jnp.array([[2.0, 0.0], [0.5, 3.0]]))
    x = white.colour(jnp.array([0.2, -0.4]))
    np.testing.assert_allclose(white.whiten(x), [0.2, -0.4], rtol=1e-12)
    expected = target.log_prob(KEY, x) + np.log(6.0)
    np.testing.assert_allclose(white.log_prob(KEY, white.whiten(x)), expected)


def test_black_box_under_vmap():
    target = LogJoint(black_box(lambda p: -np.sum(p["x"] ** 2)), {"x": jnp.zeros(2)})
    many = jax.jit(jax.vmap(lambda u: target.log_prob(KEY, u)))
    np.testing.assert_allclose(many(jnp.array([[1.0, 2.0], [0.0, 1.0]])), [-5, -1])


@pytest.mark.parametrize(
    ("log_joint", "example", "error", "words"),
    [
        (lambda p: p["x"] * jnp.ones(2), {"x": 0.0}, ValueError, r"shape \(2,\)"),
        (lambda p: 1j * p["x"], {"x": 0.0}, TypeError, "complex"),
        (lambda p: (p["x"], p["x"]), {"x": 0.0}, TypeError, "one real number"),
        (lambda p: p["x"] * 1.0, {"x": 0}, TypeError, "int"),
        (lambda p: p["x"].real, {"x": 1j}, TypeError, "complex"),
        (lambda p: 0.0, {}, ValueError, "at least one parameter"),
    ],
)
def test_bad_log_joints(log_joint, example, error, words):
    with pytest.raises(error, match=words):
        LogJoint(log_joint, example)


def test_constraints_of_unknown_names():
    with pytest.raises(ValueError, match="sigma"):
        LogJoint(half_cauchy, {"tau": 1.0}, {"sigma": constraints.positive})
