"""Distributions of other libraries behind one interface."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as npd
import pytest

import taut
from taut import Exact


def test_batch_dimensions_are_the_event(getkey):
    density = Exact(npd.MultivariateNormal(jnp.zeros((3, 2)), jnp.eye(2)))
    x, log_prob = eqx.filter_jit(density.sample_and_log_prob)(getkey())
    assert density.shape == x.shape == (3, 2)
    standard = taut.StandardNormal((3, 2))
    assert jnp.allclose(log_prob, standard.log_density(x))


def test_parameters_are_leaves(getkey):
    """Also those given as Python numbers."""
    density = Exact(npd.Normal(0.5, 2.0))
    x = jnp.array(1.5)
    grad = eqx.filter_grad(lambda q: q.log_prob(getkey(), x))(density)
    assert jnp.allclose(grad.distribution.loc, 1.0 / 4)
    through = eqx.filter_grad(lambda q: q.sample(getkey()))(density)
    assert jnp.allclose(through.distribution.loc, 1.0)
    held = taut.stop(density).log_prob(getkey(), x)
    assert jnp.allclose(held, density.log_prob(getkey(), x))


def test_under_vmap(getkey):
    """One density for each parameter, each over one event."""
    make = lambda loc: Exact(npd.Normal(loc, jnp.ones(2)))
    locs = jnp.arange(6.0).reshape(3, 2)
    densities = eqx.filter_vmap(make)(locs)
    each = eqx.filter_vmap(lambda q, x: q.log_prob(getkey(), x))(densities, locs)
    assert jnp.allclose(each, -jnp.log(2 * jnp.pi))


def test_kinds_of_draws(getkey):
    """Numbers are floats for the networks that read them, categories are indices."""
    coins = Exact(npd.Bernoulli(logits=jnp.zeros(3)))
    assert jnp.issubdtype(coins.sample(getkey()).dtype, jnp.floating)
    assert coins.discrete
    assert not coins.reparameterised
    category = Exact(npd.Categorical(logits=jnp.zeros((2, 3))))
    assert jnp.issubdtype(category.sample(getkey()).dtype, jnp.integer)
    gamma = Exact(npd.Gamma(2.0, jnp.ones(2)))
    assert gamma.reparameterised
    assert not gamma.discrete


@pytest.mark.parametrize(
    ("distribution", "outside"),
    [
        (npd.Uniform(0.0, 1.0), 1.5),
        (npd.Gamma(2.0, 1.0), -1.0),
        (npd.Bernoulli(0.5), 0.5),
        (npd.Poisson(2.0), -3.0),
        (npd.LogNormal(0.0, 1.0), -1.0),
    ],
)
def test_nothing_outside_the_support(distribution, outside, getkey):
    """NumPyro alone would answer with a number; gradients stay finite."""
    density = Exact(distribution)
    outside = jnp.array(outside)
    assert jnp.isneginf(density.log_prob(getkey(), outside))
    grad = eqx.filter_grad(lambda q: q.log_prob(getkey(), outside))(density)
    assert all(jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(grad))


def test_as_the_proposal_of_another(getkey):
    density = taut.SelfNormalized(Exact(npd.Normal(0.0, 1.0)), lambda x: x**2, 4)
    log_prob = eqx.filter_jit(density.log_prob)(getkey(), jnp.array(0.3))
    assert jnp.isfinite(log_prob)


def test_flowjax(getkey):
    fjd = pytest.importorskip("flowjax.distributions")
    density = Exact(fjd.Normal(jnp.zeros(2), jnp.full(2, 2.0)))
    assert density.shape == (2,)
    assert density.reparameterised
    x, log_prob = density.sample_and_log_prob(getkey())
    known = taut.Normal(jnp.zeros(2), jnp.full(2, jnp.log(2.0))).log_density(x)
    assert jnp.allclose(log_prob, known)
    parts = eqx.filter_vmap(fjd.Normal)(jnp.arange(3.0))
    assert not Exact(fjd.VmapMixture(parts, jnp.ones(3))).reparameterised
    bijections = pytest.importorskip("flowjax.bijections")
    shift = bijections.AdditiveCondition(lambda c: c, (2,), (2,))
    conditional = fjd.Transformed(fjd.StandardNormal((2,)), shift)
    with pytest.raises(ValueError, match="unconditional"):
        Exact(conditional)


def test_refusals(getkey):
    with pytest.raises(TypeError, match="numpyro.distributions"):
        Exact(taut.StandardNormal((2,)))
    with pytest.raises(ValueError, match=r"Exact\(Normal\).*shape \(2,\)"):
        Exact(npd.Normal(jnp.zeros(2), 1.0)).log_prob(getkey(), jnp.zeros(3))
