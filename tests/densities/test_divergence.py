"""Divergences in closed form, against NumPyro's."""

import jax.numpy as jnp
import numpyro.distributions as npd
import pytest

import taut

LOC, LOG_SCALE = jnp.array([0.3, -1.0]), jnp.array([0.2, -0.7])
FAMILIES = [
    (taut.Normal(LOC, LOG_SCALE), npd.Normal(LOC, jnp.exp(LOG_SCALE))),
    (
        taut.LogVarianceNormal(2 * LOC, LOG_SCALE),
        npd.Normal(2 * LOC, jnp.exp(LOG_SCALE / 2)),
    ),
    (taut.StandardNormal((2,)), npd.Normal(jnp.zeros(2), jnp.ones(2))),
]


@pytest.mark.parametrize("q", FAMILIES)
@pytest.mark.parametrize("p", FAMILIES)
def test_gaussians(q, p):
    known = jnp.sum(npd.kl_divergence(q[1], p[1]))
    assert jnp.allclose(taut.gaussian_divergence(q[0], p[0]), known, atol=1e-12)


def test_refused():
    normal = taut.StandardNormal((2,))
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        taut.gaussian_divergence(normal, taut.StandardNormal((3,)))
    with pytest.raises(TypeError, match="expected `Normal`.*got Bernoulli"):
        taut.gaussian_divergence(normal, taut.Bernoulli(jnp.zeros(2)))
