"""Models of posteriordb (Magnusson et al., 2024), written anew with proper priors."""

import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from numpyro.distributions import constraints

from ...data.errors import MissingData
from ...data.folder import data_home
from ..problem import Problem
from .conjugate import normal_inverse_gamma


def _data(name: str) -> dict:
    path = data_home() / "posteriordb" / "data" / f"{name}.json.zip"
    if not path.is_file():
        raise MissingData(
            f"{path} is missing. Set TAUT_DATA to the folder that has posteriordb/."
        )
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(f"{name}.json"))


def kidscore_momiq() -> Problem:
    """Test scores of 434 children on their mothers' IQ, a conjugate prior.

    s ~ InverseGamma(3, 2 * 15^2), weights ~ N(0, 100 s) of 1 and (IQ - 100) / 15.
    """
    data = _data("kidiq")
    y = np.asarray(data["kid_score"], float)
    iq = (np.asarray(data["mom_iq"], float) - 100.0) / 15.0
    x = np.column_stack([np.ones(len(y)), iq])
    return normal_inverse_gamma(x, y, shape=3.0, rate=450.0, prior=100.0)


def ar_k() -> Problem:
    """Autoregression of order five on 200 points: alpha, beta ~ N(0, 10), sigma ~
    half-Cauchy(2.5).
    """
    data = _data("arK")
    y, lags = np.asarray(data["y"], float), int(data["K"])
    past = np.stack([y[lags - k - 1 : len(y) - k - 1] for k in range(lags)], axis=1)

    def log_joint(p):
        prior = npd.Normal(0.0, 10.0).log_prob(p["alpha"])
        prior += jnp.sum(npd.Normal(0.0, 10.0).log_prob(p["beta"]))
        prior += npd.HalfCauchy(2.5).log_prob(p["sigma"])
        mean = p["alpha"] + jnp.asarray(past) @ p["beta"]
        return prior + jnp.sum(npd.Normal(mean, p["sigma"]).log_prob(y[lags:]))

    return Problem(
        log_joint,
        {"alpha": 0.0, "beta": jnp.zeros(lags), "sigma": 1.0},
        {"sigma": constraints.positive},
        data=(y, lags),
    )


def low_dim_gauss_mix() -> Problem:
    """A thousand points from two Gaussians: ordered means ~ N(0, 2), scales ~
    half-N(0, 2), share ~ Beta(5, 5).

    The prior of ordered means has its factor 2: posteriordb's own, which has not,
    integrates to 1/2.
    """
    y = np.asarray(_data("low_dim_gauss_mix")["y"], float)

    def log_joint(p):
        prior = jnp.log(2.0) + jnp.sum(npd.Normal(0.0, 2.0).log_prob(p["mu"]))
        prior += jnp.sum(npd.HalfNormal(2.0).log_prob(p["sigma"]))
        prior += npd.Beta(5.0, 5.0).log_prob(p["theta"])
        each = npd.Normal(p["mu"], p["sigma"]).log_prob(jnp.asarray(y)[:, None])
        share = jnp.log(jnp.stack([p["theta"], 1 - p["theta"]]))
        return prior + jnp.sum(jax.nn.logsumexp(each + share, axis=1))

    return Problem(
        log_joint,
        {"mu": jnp.array([-1.0, 1.0]), "sigma": jnp.ones(2), "theta": 0.5},
        {
            "mu": constraints.ordered_vector,
            "sigma": constraints.positive,
            "theta": constraints.unit_interval,
        },
        data=y,
    )
