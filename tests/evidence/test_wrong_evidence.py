"""Evidence code that is wrong elsewhere, made again here and caught.

Also: a prior dropped on separable data (`test_sandwich`), negated weights in k-hat, the
harmonic mean in Bennett's ratio, one dominating weight (`test_statistics`).
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.scipy.stats import norm
from jaxtyping import Array

import taut
from taut.evidence import LogJoint, statistics
from taut.evidence.fit import Fit
from taut.evidence.guards import judge
from taut.evidence.result import End
from taut.evidence.runs import run_conditional_many, run_many

X = jnp.array([0.7, -0.4])
LOG_Z = float(jnp.sum(norm.logpdf(X, 0.0, 2**0.5)))  # z ~ N(0, I), x ~ N(z, I)
NUM = 40_000


def log_joint(z):
    return jnp.sum(norm.logpdf(z)) + jnp.sum(norm.logpdf(X, z, 1.0))


def mean_weight(log_weight):
    """Of `Z_hat / Z`, with its standard error."""
    ratio = np.exp(np.asarray(log_weight) - LOG_Z)
    return ratio.mean(), ratio.std() / len(ratio) ** 0.5


def hamiltonian_weight(key, *, beta, scored_at):
    """One tempered leapfrog step from N(0, I) with momentum ~ N(0, I / beta), whose
    density is taken as N(0, I / scored_at).
    """
    zkey, pkey = jr.split(key)
    z, p = jr.normal(zkey, (2,)), jr.normal(pkey, (2,)) / beta**0.5
    log_q = jnp.sum(norm.logpdf(z)) + jnp.sum(norm.logpdf(p, 0.0, scored_at**-0.5))
    p = p + 0.25 * jax.grad(log_joint)(z)
    z = z + 0.5 * p
    p = (p + 0.25 * jax.grad(log_joint)(z)) * beta**0.5
    log_jacobian = np.log(beta)  # (d / 2) log beta, twice over two dimensions
    return log_joint(z) + jnp.sum(norm.logpdf(p)) - log_q + log_jacobian


@pytest.mark.parametrize(("scored_at", "right"), [(0.5, True), (0.71, False)])
def test_momentum_at_the_wrong_temperature(scored_at, right):
    weigh = lambda key: hamiltonian_weight(key, beta=0.5, scored_at=scored_at)
    mean, error = mean_weight(jax.vmap(weigh)(jr.split(jr.key(0), NUM)))
    assert (abs(mean - 1) < 4 * error) == right, (mean, error)


class Elsewhere(taut.AbstractExact[Array]):
    """Drawn from a place that its density knows nothing of."""

    loc: float
    reparameterised: ClassVar[bool] = True

    def draw(self, key):
        return self.loc + jr.normal(key, (2,))

    def log_density(self, x):
        return jnp.sum(norm.logpdf(x))


@pytest.mark.parametrize(("loc", "right"), [(0.0, True), (1.5, False)])
def test_annealing_that_starts_off_its_proposal(loc, right):
    target = LogJoint(log_joint, jnp.zeros(2))
    kernel = taut.HMC(0.5, leapfrogs=2)
    sampler = taut.Annealed(Elsewhere(loc), kernel, np.array([0.3, 1.0]), 64)
    exact = X / 2 + 0.5**0.5 * jr.normal(jr.key(3), (64, 2))
    low = run_many(jr.split(jr.key(1), 64), sampler, target).log_z
    keys = jr.split(jr.key(2), 64)
    high = run_conditional_many(keys, sampler, target, exact).log_z
    mean, error = mean_weight(low)
    assert (abs(mean - 1) < 4 * error) == right, (mean, error)
    ends = End(low, -1, "bound"), End(high, +1, "certified")
    if right:
        assert ends[0].bound < LOG_Z < ends[1].bound


def test_a_missing_log_of_the_number_of_samples():
    """The commonest mistake: sums of weights for means. The ends cross."""
    target = LogJoint(log_joint, jnp.zeros(2))
    sampler = taut.Importance(taut.StandardNormal((2,)), 32)
    exact = X / 2 + 0.5**0.5 * jr.normal(jr.key(3), (32, 2))
    low = run_many(jr.split(jr.key(1), 32), sampler, target).log_z
    high = run_conditional_many(jr.split(jr.key(2), 32), sampler, target, exact).log_z
    fit = Fit(np.zeros((1, 2)), np.eye(2)[None], np.zeros(1))
    rest = {"ess": 1e3, "khat": 0.1, "invalid": 0, "infinite": 0, "rejected": 0.0}
    rest |= {"particles": 1024}
    rest |= {"counting": False, "fit": fit, "troubles": (), "notes": ()}
    verdict = lambda shift: judge(
        End(low + shift, -1, "bound"), End(high, +1, "certified"), **rest
    )
    assert verdict(0.0).word == "certified"
    assert verdict(np.log(32)).word == "do not trust"


def test_one_weight_that_dominates():
    log_weight = np.r_[np.zeros(999), 20.0]
    assert statistics.effective(log_weight) < 1.01


class Shifted(eqx.Module):
    """z ~ N(theta, I), x ~ N(z, I), as a target over z."""

    theta: Array

    def target(self):
        prior = taut.Normal(jnp.full(2, self.theta), jnp.zeros(2))
        likelihood = lambda z: taut.Normal(z, jnp.zeros(2))
        return taut.Conditioned(taut.Joint(prior, likelihood), X)


def test_doubly_reparameterised_model_gradient():
    """d log Z / d theta = sum (x - theta) / 2. Squared weights, which belong to the
    proposal alone, lose most of it.
    """
    proposal, num = taut.Normal(X / 2, jnp.full(2, -0.3)), 16
    sampler = taut.Importance(proposal, num, taut.dreg)

    def right(key):
        log_z = lambda model: sampler.run(key, model.target()).log_z
        return eqx.filter_grad(log_z)(Shifted(jnp.zeros(()))).theta

    def squared(key):
        particles = sampler.run(key, Shifted(jnp.zeros(())).target())
        return jnp.sum(particles.probs**2 * jnp.sum(particles.value, axis=1))

    keys = jr.split(jr.key(4), 4000)
    truth = float(jnp.sum(X) / 2)
    found, wrong = (np.asarray(jax.vmap(f)(keys)) for f in (right, squared))
    # Self-normalised weights of 16 samples: a bias of order 1/16 of the spread.
    assert abs(found.mean() - truth) < 4 * found.std() / 4000**0.5 + 0.02
    assert abs(wrong.mean() - truth) > 0.5 * abs(truth)
