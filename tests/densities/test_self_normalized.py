"""SNIS: its bound, its special cases, its cost, its refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import taut
from taut import SelfNormalized
from taut.core.checks import particle_keys


def standard():
    return taut.Normal(jnp.zeros(()), jnp.zeros(()))


def at_keys(density, x, num, seed=0):
    keys = jr.split(jr.key(seed), num)
    return jax.jit(jax.vmap(lambda key: density.log_prob(key, x)))(keys)


@pytest.mark.parametrize(
    ("x", "exact", "bound"),
    [(-1.0, -1.08714, -1.13265), (0.0, -0.91894, -1.03185), (1.0, -1.91894, -2.13265)],
)
def test_known_values(x, exact, bound):
    """N(0, 1) with U(x) = x and two points."""
    scores = at_keys(SelfNormalized(standard(), lambda x: x, 2), jnp.array(x), 40_000)
    error = jnp.std(scores) / 200
    assert abs(jnp.mean(scores) - bound) < 5 * error + 1e-5
    weights = jnp.exp(scores - exact)
    assert abs(jnp.mean(weights) - 1) < 5 * jnp.std(weights) / 200 + 1e-5


def test_many_points_tilt_the_proposal():
    """U(x) = x moves N(0, 1) to N(-1, 1)."""
    density = SelfNormalized(standard(), lambda x: x, 20_000)
    for x, limit in ((-1.0, -0.91894), (0.0, -1.41894), (1.0, -2.91894)):
        assert abs(density.log_prob(jr.key(0), jnp.array(x)) - limit) < 0.05


@pytest.mark.parametrize("i", range(4))
def test_iwae_is_an_identity(i):
    """As a posterior with `U = log q - log p`, particle by particle: `log p(x, z_i)`
    less the density of all draws, with `r = prod_{j != i} q(z_j) / K` for the others,
    is the log mean weight, whichever `i` was chosen.
    """
    q = taut.Normal(jnp.array(0.3), jnp.array(0.2))
    log_joint = lambda z: -0.5 * z**2 - 0.5 * (1.2 - z) ** 4
    zs = jax.vmap(q.draw)(jr.split(jr.key(4), 4))
    log_q, log_p = jax.vmap(q.log_density)(zs), jax.vmap(log_joint)(zs)
    log_w = log_p - log_q
    log_others = jnp.sum(log_q) - log_q[i]
    log_chosen = log_w[i] - jax.nn.logsumexp(log_w) + jnp.sum(log_q)
    bound = log_p[i] + (log_others - jnp.log(4)) - log_chosen
    assert jnp.allclose(bound, jax.nn.logsumexp(log_w) - jnp.log(4), rtol=1e-12)
    # And what the library says of its own draw.
    guide = SelfNormalized(q, lambda z: q.log_density(z) - log_joint(z), 4)
    key = jr.key(10 + i)
    z, log_guide = guide.sample_and_log_prob(key)
    keys = particle_keys(jr.split(key)[0], 4)
    zs = jax.vmap(q.sample)(keys)
    log_w = jax.vmap(log_joint)(zs) - jax.vmap(q.log_density)(zs)
    known = jax.nn.logsumexp(log_w) - jnp.log(4)
    assert jnp.allclose(log_joint(z) - log_guide, known, rtol=1e-12)


def test_one_point_is_the_proposal(getkey):
    """To the last bit, on both sides."""
    density = SelfNormalized(standard(), lambda x: 37.1 * jnp.sin(x), 1)
    x = jnp.array(0.7)
    assert density.log_prob(getkey(), x) == standard().log_density(x)
    x, log_prob = density.sample_and_log_prob(getkey())
    assert log_prob == standard().log_density(x)


def test_constants_change_nothing(getkey):
    key, x = getkey(), jnp.array(0.4)
    one = SelfNormalized(standard(), lambda x: x**2, 5).log_prob(key, x)
    two = SelfNormalized(standard(), lambda x: x**2 + 3.0, 5).log_prob(key, x)
    assert jnp.allclose(one, two)


def test_ranking_noise_contrastive_estimation(getkey):
    """With `U = log pi - s` the bound is the ranking loss, up to `log pi + log K`."""
    num, noise = 6, taut.Normal(jnp.array(0.2), jnp.array(0.4))
    score = lambda x: -0.5 * (x - 1) ** 2
    density = SelfNormalized(noise, lambda x: noise.log_density(x) - score(x), num)
    key, x = getkey(), jnp.array(0.8)
    # The fresh points, by the documented keys: the second half, one per particle.
    negatives = jr.split(key)[1]
    keys = [jr.fold_in(negatives, j) for j in range(num - 1)]
    points = jnp.stack([x, *(noise.draw(jr.split(k, 1)[0]) for k in keys)])
    critic = jax.vmap(lambda x: score(x) - noise.log_density(x))(points)
    ranking = jax.nn.log_softmax(critic)[0]
    known = noise.log_density(x) + jnp.log(num) + ranking
    assert jnp.allclose(density.log_prob(key, x), known, rtol=1e-12)


def test_vae_proposal_is_estimated_once():
    """A VAE scores the chosen point alone, with the number that came with it."""
    count = []

    class Counted(taut.AbstractDensity):
        base: taut.AbstractDensity
        exact = False
        reparameterised = True

        def sample_and_log_prob(self, key):
            return self.base.sample_and_log_prob(key)

        def log_prob(self, key, x):
            jax.debug.callback(lambda: count.append(1))
            return self.base.log_prob(key, x)

    density = SelfNormalized(Counted(standard()), lambda x: x**2, 8)
    density.log_prob(jr.key(0), jnp.array(0.1)).block_until_ready()
    jax.effects_barrier()
    assert len(count) == 1


def test_frozen_draws_are_made_once():
    """For a batch, K proposals are weighed per step, not per image."""
    num, batch, width = 256, 64, 32
    energy = eqx.nn.MLP(4, "scalar", width, 1, key=jr.key(0))
    prior = SelfNormalized(taut.StandardNormal((4,)), energy, num)
    xs = jr.normal(jr.key(1), (batch, 4))

    def flops(target):
        def loss(target, xs):
            keys = jr.split(jr.key(2), batch)
            return jnp.mean(jax.vmap(target.log_prob)(keys, xs))

        grad = jax.jit(lambda xs: eqx.filter_value_and_grad(loss)(target, xs))
        return grad.lower(xs).compile().cost_analysis()["flops"]

    once, each = flops(taut.Frozen(prior, jr.key(3))), flops(prior)
    per_energy = 2 * (4 * width + width)
    matmuls = 3 * (num + batch) * per_energy  # forward, and backward to both inputs
    assert once < 2 * matmuls
    assert each > batch * num * per_energy


def test_proposal_learns_by_path(getkey):
    """With reparameterised points the gradient is that of the bound."""
    keys = jr.split(getkey(), 100)

    @jax.jit
    def bound(loc):
        density = SelfNormalized(
            taut.Normal(loc, jnp.zeros(())), lambda x: 0.5 * x**2, 4
        )
        return jnp.mean(jax.vmap(lambda k: density.log_prob(k, jnp.array(0.5)))(keys))

    step, loc = 1e-5, jnp.array(0.3)
    known = (bound(loc + step) - bound(loc - step)) / (2 * step)
    assert jnp.allclose(jax.jit(jax.grad(bound))(loc), known, rtol=1e-6)


def test_zero_weights_are_no_nan(getkey):
    """A region that the energy forbids has density zero, and a finite gradient."""
    wall = lambda x: jnp.where(x > 0, 0.0, jnp.inf)
    density = SelfNormalized(standard(), wall, 3)
    log_prob, slope = jax.value_and_grad(density.log_prob, 1)(getkey(), jnp.array(-1.0))
    assert jnp.isneginf(log_prob)
    assert jnp.isfinite(slope)
    nowhere = SelfNormalized(standard(), lambda x: x * 0 + jnp.inf, 3)
    assert jnp.isneginf(nowhere.log_prob(getkey(), jnp.array(1.0)))
    with pytest.raises(Exception, match="one positive weight"):
        nowhere.sample_and_log_prob(getkey())


def test_refusals(getkey):
    with pytest.raises(ValueError, match="num must be an integer of at least 1"):
        SelfNormalized(standard(), lambda x: x, 0)
    vector = SelfNormalized(taut.StandardNormal((2,)), lambda x: x, 3)
    with pytest.raises(ValueError, match="The energy must return one real number"):
        vector.log_prob(getkey(), jnp.zeros(2))
    with pytest.raises(ValueError, match="The energy must return one real number"):
        vector.sample_and_log_prob(getkey())
    with pytest.raises(ValueError, match="shape"):
        SelfNormalized(standard(), lambda x: jnp.sum(x), 3).log_prob(
            getkey(), jnp.zeros(2)
        )
