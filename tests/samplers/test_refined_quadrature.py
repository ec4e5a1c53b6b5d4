"""BSVI as the ELBO of its resampled posterior, by quadrature, dependent draws included.

One step, two proposals, one latent: `q_sir` is an integral over a line, and every
expectation one over the plane. What the library's upper end scores is then compared
with that `q_sir`.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import taut

X, NOISE, RATE = 1.5, 0.5, 0.1
LOC, LOG_SCALE = 0.4, -0.1
GRID = np.linspace(-5.0, 6.0, 801)
DZ = GRID[1] - GRID[0]


def log_normal(z, loc, log_scale):
    noise = (z - loc) * np.exp(-log_scale)
    return -0.5 * noise**2 - log_scale - 0.5 * np.log(2 * np.pi)


LOG_Z = log_normal(X, 0.0, 0.5 * np.log(1 + NOISE))


def log_gamma(z):
    return log_normal(z, 0.0, 0.0) + log_normal(X, z, 0.5 * np.log(NOISE))


def moved(z):
    """Location and log scale after a step along `log w` at the draw `z`, by hand."""
    slope = -z + (X - z) / NOISE
    # z = loc + scale noise; log q at its own draw falls with the log scale alone.
    return LOC + RATE * slope, LOG_SCALE + RATE * (slope * (z - LOC) + 1)


def log_q0(z):
    return log_normal(z, LOC, LOG_SCALE)


def log_q1(z, mover):
    return log_normal(z, *moved(mover))


def dependent(pi):
    """`E log sum pi w`, and `q_sir`, when the first draw also moves the proposal."""
    first, second = GRID[:, None], GRID[None, :]
    log_q = log_q0(first) + log_q1(second, first)
    total, shares = _weigh(pi, log_gamma(first) - log_q0(first),
                           log_gamma(second) - log_q1(second, first))  # fmt: skip
    q = np.exp(log_q)
    bound = np.sum(q * total) * DZ**2
    sir = np.sum(q * shares[0], 1) * DZ + np.sum(q * shares[1], 0) * DZ
    return bound, sir


def doubled(pi):
    """The same when another draw moves it (double sampling)."""
    movers = GRID[::8]
    bound, sir, mass = 0.0, np.zeros_like(GRID), 0.0
    first, second = GRID[:, None], GRID[None, :]
    for mover in movers:
        p = np.exp(log_q0(mover)) * (movers[1] - movers[0])
        if p < 1e-12:
            continue
        log_q = log_q0(first) + log_q1(second, mover)
        total, shares = _weigh(pi, log_gamma(first) - log_q0(first),
                               log_gamma(second) - log_q1(second, mover))  # fmt: skip
        q = np.exp(log_q)
        bound += p * np.sum(q * total) * DZ**2
        each = np.sum(q * shares[0], 1) * DZ + np.sum(q * shares[1], 0) * DZ
        sir, mass = sir + p * each, mass + p
    assert mass == pytest.approx(1, abs=1e-5)
    return bound, sir


def _weigh(pi, *log_w):
    with np.errstate(divide="ignore"):
        parts = [np.log(p) + w for p, w in zip(pi, log_w)]
    total = np.logaddexp(*np.broadcast_arrays(*parts))
    return total, [np.exp(part - total) for part in parts]


def elbo(density):
    log_density = np.log(np.maximum(density, 1e-300))
    return np.sum(density * (log_gamma(GRID) - log_density)) * DZ


def test_the_step_is_the_library_s():
    q = taut.Normal(jnp.array([LOC]), jnp.array([LOG_SCALE]))
    run = jax.jit(lambda key: taut.Refined(q, RATE, 1).run(key, target()))
    particles = run(jr.key(0))
    loc, log_scale = moved(float(particles.value[0, 0]))
    last = particles.diagnostics.proposal
    assert last.loc[1, 0] == pytest.approx(loc, abs=1e-10)
    assert last.log_scale[1, 0] == pytest.approx(log_scale, abs=1e-10)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_bound_is_an_elbo_of_the_resampled_posterior(share):
    """`BSVI <= ELBO(q_sir) <= log p(x)`, for dependent draws (which the paper's proof
    does not cover), whatever the weights.
    """
    bound, sir = dependent((1 - share, share))
    assert np.sum(sir) * DZ == pytest.approx(1, abs=1e-5)
    assert bound < elbo(sir) - 1e-4
    assert elbo(sir) < LOG_Z - 1e-4


@pytest.mark.parametrize(
    "law", [dependent, pytest.param(doubled, marks=pytest.mark.thorough)]
)
def test_corollary_1(law):
    """With the best fixed weights the resampled posterior is at least as near as SVI's
    last proposal: `KL(q_sir || p) <= E KL(q_k || p)`; so for dependent draws as well.
    """
    shares = np.linspace(0, 1, 6 if law is doubled else 11)
    found = [law((1 - share, share)) for share in shares]
    bounds = np.array([bound for bound, _ in found])
    # SVI is the weight 1 on the last; the bound is concave in the weights.
    svi = bounds[-1]
    assert np.all(np.diff(bounds, 2) < 1e-9)
    best = int(np.argmax(bounds))
    assert bounds[best] >= svi
    nearest = LOG_Z - elbo(found[best][1])
    assert nearest < LOG_Z - svi - 1e-3
    assert nearest > 0


def target():
    prior = taut.StandardNormal((1,))
    likelihood = lambda z: taut.Normal(z, jnp.full(1, 0.5 * np.log(NOISE)))
    return taut.Conditioned(taut.Joint(prior, likelihood), jnp.array([X]))


def test_upper_end_scores_the_resampled_posterior():
    """`E exp(score) = q_sir(z)`: the clamped run is the law of what was resampled."""
    weights = taut.FixedWeights((0.3, 0.7))
    q = taut.Normal(jnp.array([LOC]), jnp.array([LOG_SCALE]))
    law = taut.Induced(target(), taut.Refined(q, RATE, 1, weights))
    points = jnp.array([[0.2], [1.1]])
    score = jax.vmap(law.log_prob, (None, 0))
    scores = jax.jit(jax.vmap(lambda key: score(key, points)))
    found = np.exp(np.asarray(scores(jr.split(jr.key(0), 40_000))))
    truth = np.interp(points[:, 0], GRID, dependent((0.3, 0.7))[1])
    error = found.std(0) / len(found) ** 0.5
    assert np.all(abs(found.mean(0) - truth) < 4.5 * error)
    assert np.all(error < 0.01 * truth)
