"""NumPyro models: the right log joint, and everything that has none."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro
import numpyro.distributions as npd
import pytest
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoMultivariateNormal

from taut.evidence import references
from taut.evidence.problem import digest
from taut.interop.numpyro import evidence, problem

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools(effects):
    mu = numpyro.sample("mu", npd.Normal(0, 5))
    tau = numpyro.sample("tau", npd.HalfCauchy(5))
    with numpyro.plate("schools", 8):
        eta = numpyro.sample("eta", npd.Normal(0, 1))
        numpyro.sample("y", npd.Normal(mu + tau * eta, ERRORS), obs=effects)


def test_log_joint_is_that_of_the_reference():
    ours, reference = problem(eight_schools, EFFECTS), references.load("eight-schools")
    params = {"mu": jnp.array(2.0), "tau": jnp.array(3.0), "eta": jnp.arange(8.0)}
    np.testing.assert_allclose(ours.log_joint(params), reference.log_joint(params))
    u = ours.target().unconstrain(params)
    key = jr.key(0)
    np.testing.assert_allclose(
        ours.target().log_prob(key, u),
        reference.target().log_prob(key, reference.target().unconstrain(params)),
    )


def test_data_are_the_observed_sites():
    ours = problem(eight_schools, EFFECTS)
    assert digest(ours.data) == digest({"y": EFFECTS})
    assert digest(ours.data) != digest(problem(eight_schools, EFFECTS + 1).data)
    assert not ours.counting


def test_simulated_data_and_their_likelihood():
    ours = problem(eight_schools, EFFECTS)
    params = {"mu": jnp.array(2.0), "tau": jnp.array(3.0), "eta": jnp.arange(8.0)}
    draw = lambda key: ours.simulate(key, params)["y"]
    drawn = jax.vmap(draw)(jr.split(jr.key(0), 2000))
    centre = 2.0 + 3.0 * np.arange(8.0)
    assert np.all(abs(drawn.mean(0) - centre) < 5 * ERRORS / 2000**0.5)
    expected = npd.Normal(centre, ERRORS).log_prob(drawn[0]).sum()
    found = ours.log_likelihood(params, {"y": drawn[0]})
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def coins(y):
    p = numpyro.sample("p", npd.Beta(2, 3))
    numpyro.sample("y", npd.Bernoulli(p), obs=y)


COINS = np.array([1, 0, 1, 1, 1, 0, 1, 1])


def log_z_of_coins():
    from scipy.special import betaln

    heads = COINS.sum()
    return betaln(2 + heads, 3 + len(COINS) - heads) - betaln(2, 3)


def test_evidence_from_draws_and_guide():
    rng = np.random.default_rng(0)
    heads = COINS.sum()

    class Finished:
        """What a finished `MCMC` offers."""

        def get_samples(self, *, group_by_chain):
            assert group_by_chain
            return {"p": rng.beta(2 + heads, 3 + len(COINS) - heads, (4, 300))}

    found = evidence(coins, COINS, mcmc=Finished(), budget=3)
    assert found.verdict.word == "asymptotic", str(found)
    assert problem(coins, COINS).counting
    assert abs(found.estimate.value - log_z_of_coins()) < 5 * max(
        found.estimate.se, 1e-4
    )
    assert found.lower.bound < log_z_of_coins() < found.upper.bound
    # The gap on coins simulated at the draws, where these are exact again.
    assert found.calibration.simulations == 32
    assert -5 * found.calibration.se < found.calibration.gap < 0.1


def test_a_fitted_guide_is_the_proposal():
    guide = AutoMultivariateNormal(coins)
    svi = SVI(coins, guide, numpyro.optim.Adam(0.05), Trace_ELBO())
    params = svi.run(jr.key(0), 300, COINS, progress_bar=False).params
    found = evidence(coins, COINS, guide=(guide, params), draws=None, budget=3)
    assert found.verdict.word == "lower only"
    assert abs(found.lower.value - log_z_of_coins()) < 0.02


@pytest.mark.thorough
def test_a_real_mcmc_run():
    mcmc = MCMC(
        NUTS(eight_schools),
        num_warmup=500,
        num_samples=1000,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jr.key(0), EFFECTS)
    found = evidence(eight_schools, EFFECTS, mcmc=mcmc, budget=20)
    truth = references.load("eight-schools").log_z
    assert found.verdict.word == "asymptotic", str(found)
    assert found.lower.bound < truth < found.upper.bound


def subsampled(y):
    mu = numpyro.sample("mu", npd.Normal(0, 1))
    with numpyro.plate("data", len(y), subsample_size=3) as i:
        numpyro.sample("y", npd.Normal(mu, 1), obs=y[i])


def discrete(y):
    z = numpyro.sample("z", npd.Bernoulli(0.5))
    numpyro.sample("y", npd.Normal(z, 1), obs=y)


def improper(y):
    mu = numpyro.sample("mu", npd.ImproperUniform(constraints.real, (), ()))
    numpyro.sample("y", npd.Normal(mu, 1), obs=y)


def improper_vector(y):
    flat = npd.ImproperUniform(constraints.real, (), ()).expand([8]).to_event(1)
    mu = numpyro.sample("mu", flat)
    numpyro.sample("y", npd.Normal(mu, 1), obs=y)


def moving(y):
    top = numpyro.sample("top", npd.HalfNormal(1))
    mu = numpyro.sample("mu", npd.Uniform(0, top))
    numpyro.sample("y", npd.Normal(mu, 1), obs=y)


def with_param(y):
    scale = numpyro.param("scale", 1.0)
    mu = numpyro.sample("mu", npd.Normal(0, 1))
    numpyro.sample("y", npd.Normal(mu, scale), obs=y)


def scaled(y):
    with handlers.scale(scale=0.5):
        mu = numpyro.sample("mu", npd.Normal(0, 1))
    numpyro.sample("y", npd.Normal(mu, 1), obs=y)


def nothing_latent(y):
    numpyro.sample("y", npd.Normal(0, 1), obs=y)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (subsampled, "subsample"),
        (discrete, "discrete latent"),
        (improper, "improper"),
        (improper_vector, "improper"),
        (moving, "depends on other parameters"),
        (with_param, "without a prior"),
        (scaled, "scaled"),
        (nothing_latent, "no latent sites"),
    ],
)
def test_models_without_this_evidence(model, words):
    with pytest.raises(ValueError, match=words):
        problem(model, EFFECTS)


def test_factors_are_taken_and_told():
    def model(y):
        mu = numpyro.sample("mu", npd.Normal(0, 1))
        numpyro.factor("likelihood", jnp.sum(npd.Normal(mu, 1).log_prob(y)))

    assert "factors" in problem(model, EFFECTS).notes[0]


def test_simplex_and_correlation_sites_have_targets():
    def model(y):
        p = numpyro.sample("p", npd.Dirichlet(jnp.ones(3)))
        numpyro.sample("L", npd.LKJCholesky(2, 1.0))
        numpyro.sample("y", npd.Multinomial(9, p), obs=y)

    target = problem(model, np.array([2, 3, 4])).target()
    assert target.size == 2 + 1
    value = jax.jit(lambda u: target.log_prob(jr.key(0), u))(jnp.zeros(3))
    assert np.isfinite(value)
