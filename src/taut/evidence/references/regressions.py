"""Models of real data; their evidence is known from both sides, not exactly."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from scipy.special import gammaln

from ...data.errors import MissingData
from ...data.folder import data_home
from ..problem import Problem


def _file(name: str) -> Path:
    path = data_home() / "bayes" / name
    if not path.is_file():
        raise MissingData(
            f"{path} is missing. Set TAUT_DATA to the folder that has bayes/{name}."
        )
    return path


def _logistic(x: np.ndarray, y: np.ndarray, scale: float) -> Problem:
    def log_joint(p):
        logits = jnp.asarray(x) @ p["w"]
        prior = jnp.sum(npd.Normal(0.0, scale).log_prob(p["w"]))
        return prior + jnp.sum(npd.Bernoulli(logits=logits).log_prob(jnp.asarray(y)))

    return Problem(log_joint, {"w": jnp.zeros(x.shape[1])}, data=(x, y), counting=True)


def ionosphere() -> Problem:
    """Logistic regression of 351 returns on 34 columns, weights ~ N(0, 1)."""
    with np.load(_file("ionosphere.npz")) as stored:
        x, y = stored["x"], stored["y"]
    scale = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    return _logistic(np.column_stack([np.ones(len(x)), x]), (y > 0).astype(int), 1.0)


def german_credit() -> Problem:
    """Logistic regression of 1,000 credits on 24 columns, weights ~ N(0, 10)."""
    table = np.loadtxt(_file("german.data-numeric"))
    x, y = table[:, :-1], table[:, -1] - 1
    x = x / x.std(axis=0)
    return _logistic(np.column_stack([np.ones(len(x)), x]), y.astype(int), 10.0)


def cox_process_32() -> Problem:
    """126 saplings in 32 x 32 cells."""
    return _cox(32)


def cox_process_40() -> Problem:
    """126 saplings in 40 x 40 cells."""
    return _cox(40)


def _cox(size: int) -> Problem:
    """A log-Gaussian Cox process (Moller et al., 1998), whitened.

    The likelihood is the customary one, without `-log c!` and `c log(1/M^2)`;
    `full_constant` is what they add.
    """
    places = np.loadtxt(_file("pines.csv"), delimiter=",", skiprows=1, usecols=(1, 2))
    bins = [np.linspace(0, 1, size + 1)] * 2
    counts = np.histogram2d(places[:, 0], places[:, 1], bins=bins)[0].ravel()
    cells = np.stack(np.meshgrid(*[np.arange(size)] * 2, indexing="ij"), -1)
    cells = cells.reshape(-1, 2)
    apart = np.linalg.norm(cells[:, None] - cells[None], axis=-1)
    factor = np.linalg.cholesky(1.91 * np.exp(-apart / (size / 33)))
    mean = np.log(126.0) - 1.91 / 2
    full = -gammaln(counts + 1).sum() - counts.sum() * np.log(size**2)

    def log_joint(p):
        f = jnp.asarray(factor) @ p["w"] + mean
        prior = jnp.sum(npd.Normal(0.0, 1.0).log_prob(p["w"]))
        return prior + jnp.sum(jnp.asarray(counts) * f - jnp.exp(f) / size**2)

    note = (
        "the customary form leaves out constants of the counts: add "
        f"{full:.4f} for the full evidence"
    )
    return Problem(log_joint, {"w": jnp.zeros(size**2)}, data=counts, notes=(note,))
