"""TRS and LARS: closed forms, the paper's bound and its table, refusals."""

import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import taut
from taut import IndexedTruncatedRejection, Resampled, TruncatedRejection
from taut.core.density import AbstractDensity
from taut.densities.indexed_rejection import index_summed
from taut.densities.resampled import smoothed
from taut.densities.truncated_rejection import log_closed_form, log_reject

# N(0, 1) with U(x) = x, whose acceptance rate is 1/2. By the closed forms: x, T, exact,
# the paper's bound at Zh = Z, and at the best Zh.
TABLE = [
    (0.0, 2, -0.91894, -0.97539, -0.97380),
    (0.0, 5, -0.91894, -1.02479, -1.01615),
    (0.0, 20, -0.91894, -1.03185, -1.02039),
    (1.0, 2, -1.68168, -1.75510, -1.75363),
    (1.0, 5, -1.98675, -2.11023, -2.09928),
    (1.0, 20, -2.03905, -2.15197, -2.14050),
]
BEST = 0.55339  # 1 - exp(E log(1 - a))
DRAWS = 20_000


def standard():
    return taut.Normal(jnp.zeros(()), jnp.zeros(()))


def identity(x):
    return x


def mean_and_error(values):
    return jnp.mean(values), jnp.std(values) / DRAWS**0.5


def scores(score):
    """Many scores of one point, compiled once for all points."""
    keys = jr.split(jr.key(1), DRAWS)
    return jax.jit(lambda *args: jax.vmap(lambda key: score(key, *args))(keys))


def rows(num):
    return [row for row in TABLE if row[1] == num]


lengths = pytest.mark.parametrize("num", [2, 5, 20])


@lengths
def test_closed_form(num):
    """Exact given Z; the estimate averages to it, and its bound beats the paper's."""
    density = TruncatedRejection(standard(), identity, num)
    score = scores(density.log_prob)
    for x, _, exact, _, best in rows(num):
        given = log_closed_form(jax.nn.log_sigmoid(-x), jnp.array(0.5), num)
        assert abs(standard().log_density(jnp.array(x)) + given - exact) < 1e-5
        found = score(jnp.array(x))
        mean, error = mean_and_error(jnp.exp(found - exact))
        assert abs(mean - 1) < 5 * error + 1e-5
        mean, error = mean_and_error(found)
        assert best - 5 * error < mean < exact + 5 * error


@lengths
def test_paper_bound(num):
    """With the index drawn, and with it summed out: the numbers of the table."""

    def both(key, x, rate):
        logit = jnp.log(rate) - jnp.log1p(-rate)
        density = IndexedTruncatedRejection(standard(), identity, num, logit)
        return density.log_prob(key, x), index_summed(key, density, x)

    score = scores(both)
    for x, _, exact, bound, best in rows(num):
        for rate, known in ((0.5, bound), (BEST, best)):
            drawn, summed = score(jnp.array(x), jnp.array(rate))
            for values in (drawn, summed):
                mean, error = mean_and_error(values)
                assert abs(mean - known) < 5 * error + 2e-5
            weight, error = mean_and_error(jnp.exp(drawn - exact))
            assert abs(weight - 1) < 5 * error + 1e-5


@pytest.mark.parametrize("kind", [TruncatedRejection, IndexedTruncatedRejection])
def test_one_proposal_is_the_proposal(kind, getkey):
    """To the last bit, on both sides."""
    density, x = kind(standard(), identity, 1), jnp.array(0.3)
    assert density.log_prob(getkey(), x) == standard().log_density(x)
    x, log_prob = density.sample_and_log_prob(getkey())
    assert log_prob == standard().log_density(x)


def test_number_of_proposals(getkey):
    """`(1 - (1-Z)^T) / Z` on average; the last one is always taken."""
    from taut.densities.truncated_rejection import propose

    one = lambda key: propose(key, standard(), identity, 5)[2] + 1.0
    mean, error = mean_and_error(jax.vmap(one)(jr.split(getkey(), DRAWS)))
    assert abs(mean - (1 - 0.5**5) / 0.5) < 5 * error


@pytest.mark.parametrize("kind", [TruncatedRejection, IndexedTruncatedRejection])
def test_extreme_energies(kind, float32, getkey):
    """Nothing accepted, everything accepted: finite values and slopes."""
    key, x = getkey(), jnp.float32(0.5)

    @jax.jit
    @jax.vmap
    def value_and_slope(offset):
        density = kind(taut.StandardNormal(()), lambda x: 3.0 * x + offset, 50)
        return jax.value_and_grad(density.log_prob, 1)(key, x)

    value, slope = value_and_slope(jnp.array([-200.0, 0.0, 200.0]))
    assert jnp.all(jnp.isfinite(value))
    assert jnp.all(jnp.isfinite(slope))


def test_the_loss_of_a_forbidden_point(getkey):
    """With `a(x) = 0` only the last proposal is left: `log pi + (T - 1) m`."""
    wall = lambda x: jnp.where(x > 0, jnp.inf, 0.0)
    density, key = IndexedTruncatedRejection(standard(), wall, 4), getkey()
    loss = lambda x: index_summed(key, density, x)
    value, slope = jax.value_and_grad(loss)(jnp.array(0.5))
    _, nkey = jr.split(key)
    mean = jnp.mean(log_reject(nkey, standard(), wall, 4))
    assert jnp.allclose(value, standard().log_density(jnp.array(0.5)) + 3 * mean)
    assert slope == -0.5


def test_lars_is_no_density():
    """Evaluation takes densities; this is a target and a loss."""
    assert not issubclass(Resampled, AbstractDensity)
    assert not isinstance(
        Resampled(standard(), identity, 3).at(jnp.array(0.5)), AbstractDensity
    )


@pytest.mark.parametrize(("x", "num", "exact", "bound", "best"), TABLE)
def test_lars_with_the_exact_rate(x, num, exact, bound, best, getkey):
    model = Resampled(standard(), identity, num)
    found = model.at(jnp.array(0.5)).log_prob(getkey(), jnp.array(x))
    assert abs(found - exact) < 1e-5


def test_lars_rate(getkey):
    model = Resampled(standard(), identity, 4)
    assert abs(model.rate(getkey(), 20_000) - 0.5) < 5 * 0.21 / 20_000**0.5
    x, log_weight = jnp.array(0.2), jnp.array(0.1)
    joined = model.rate_with(jnp.array(0.5), 9, x, log_weight)
    accept = 1 / (1 + jnp.exp(0.2))
    assert jnp.allclose(joined, (9 * 0.5 + jnp.exp(0.1) * accept) / 10)
    assert jax.grad(lambda w: model.rate_with(jnp.array(0.5), 9, x, w))(0.1) == 0


def test_lars_moving_average():
    """The value is smoothed, the gradient is the current rate's."""
    smooth = lambda current: smoothed(jnp.array(0.5), current)
    used, average = smooth(jnp.array(0.3))
    assert jnp.allclose(used, 0.99 * 0.5 + 0.01 * 0.3)
    assert used == average
    assert jax.grad(lambda c: smooth(c)[0])(0.3) == 1
    assert jax.grad(lambda c: smooth(c)[1])(0.3) == 0


def test_lars_as_a_prior(getkey):
    """The closed form stands where a VAE's prior does."""
    model = Resampled(taut.StandardNormal((2,)), jnp.sum, 4)
    decoder = lambda z: taut.Normal(z, jnp.zeros(2))
    guide = taut.Amortized(lambda x: taut.Normal(x / 2, jnp.zeros(2)), 3)
    vae = taut.Marginal(taut.Joint(model.at(jnp.array(0.5)), decoder), guide)
    assert jnp.isfinite(vae.log_prob(getkey(), jnp.ones(2)))


@pytest.mark.parametrize(
    "kind", [TruncatedRejection, IndexedTruncatedRejection, Resampled]
)
def test_refusals(kind, getkey):
    with pytest.raises(ValueError, match="num must be an integer of at least 1"):
        kind(standard(), identity, 0)
    vector = kind(taut.StandardNormal((2,)), identity, 3)
    with pytest.raises(ValueError, match="The energy must return one real number"):
        vector.sample(getkey())


@pytest.mark.parametrize("kind", [TruncatedRejection, IndexedTruncatedRejection])
def test_shapes(kind, getkey):
    density = kind(standard(), jnp.sum, 3)
    with pytest.raises(ValueError, match=r"events of shape \(\)"):
        density.log_prob(getkey(), jnp.zeros(2))


@pytest.mark.parametrize("family", [TruncatedRejection, Resampled])
def test_no_draw_without_an_energy(family, getkey):
    """NaN is neither accepted nor rejected: no draw is made up."""
    density = family(standard(), lambda x: jnp.where(x < 0, jnp.nan, x), 50)
    with pytest.raises(RuntimeError, match="NaN, which can be neither"):
        density.sample(getkey())


def test_rates_that_were_rounded(float32):
    """The closed form and its slope at acceptance rates of exactly 0 and 1."""
    form = lambda rate: log_closed_form(jnp.array(-1.0), rate, 5)
    value = jax.vmap(jax.value_and_grad(form))
    (none, every), slopes = value(jnp.array([0.0, 1.0]))
    # Few are accepted: the first T - 1 alike. All are: the first is.
    assert abs(none - jnp.log(4 * jnp.exp(-1.0) + 1)) < 1e-5
    assert abs(every + 1) < 1e-5
    assert jnp.all(jnp.isfinite(slopes))
