"""Both ends of a model whose marginal is known: z ~ N(0, I), x ~ N(z, s^2 I)."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.scipy.stats import norm

from taut import (
    Amortized,
    Bernoulli,
    Joint,
    Marginal,
    Normal,
    SelfNormalized,
    StandardNormal,
)
from taut.evaluation import (
    AnnealedEnds,
    CollapsedError,
    both_ends,
    gather,
    lower_end,
    lowered,
    rate_and_distortion,
    summary,
)
from taut.schedules import linear

SCALE = 0.5


class Likelihood(eqx.Module):
    def __call__(self, z):
        return Normal(z, jnp.full(2, jnp.log(SCALE)))


class Guide(eqx.Module):
    def __call__(self, x):
        return Normal(0.6 * x, jnp.full(2, -0.6))  # off, and 1.5 times the variance


def vae(prior=None):
    prior = StandardNormal((2,)) if prior is None else prior
    return Marginal(Joint(prior, Likelihood()), Amortized(Guide()))


def truth(xs):
    return jnp.sum(norm.logpdf(xs, 0.0, jnp.sqrt(1 + SCALE**2)), axis=-1)


def examples(num):
    return np.asarray(jr.normal(jr.key(5), (num, 2)) * jnp.sqrt(1 + SCALE**2))


def same(model, key):
    return model


def test_lower_end_and_its_error():
    xs = examples(60)
    end = gather(list(lower_end(jr.key(0), same, vae(), xs, 400, block=60)))
    z = (end.value - truth(xs)) / end.error
    # Errors are honest: about one standard deviation, and no bias beside it.
    assert abs(z.mean()) < 4.5 / np.sqrt(60) + 0.05
    assert 0.7 < z.std() < 1.4
    told = summary(end.value, end.error)
    assert told["se_monte_carlo"] == pytest.approx(
        np.sqrt((end.error**2).sum()) / 60, rel=1e-6
    )


def test_blocks_and_resuming_change_nothing():
    xs = examples(7)
    whole = gather(list(lower_end(jr.key(0), same, vae(), xs, 5, block=7)))
    parts = list(lower_end(jr.key(0), same, vae(), xs, 5, block=3, chunk=2))
    np.testing.assert_allclose(gather(parts).value, whole.value, rtol=1e-12)
    later = list(lower_end(jr.key(0), same, vae(), xs, 5, block=3, start=3))
    np.testing.assert_allclose(gather(later).value, whole.value[3:], rtol=1e-12)


def test_both_ends_bracket_the_truth():
    num = 10_000
    x, lower, upper = gather(list(both_ends(jr.key(1), vae(), num, 3, block=num)))
    for end, sign in ((lower, -1), (upper, 1)):
        gap = sign * (end - truth(x))
        error = gap.std() / num**0.5
        assert gap.mean() > 3 * error  # on its own side, and visibly so
        # E[p_hat] = p below, E[1 / p_hat] = 1 / p above.
        ratio = np.exp(-gap)
        assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / num**0.5


def test_annealing_brackets_tightly_and_in_any_blocks():
    ends = AnnealedEnds(vae(), linear(10), chains=2, leapfrogs=3, step_size=0.3)
    ends = ends.tuned(jr.key(0), examples(8), rounds=10)
    x, below, upper, harmonic = gather(list(ends.both(jr.key(1), 300, block=300)))
    lower = below.end.value
    for gap in (truth(x) - lower, upper - truth(x), harmonic - truth(x)):
        assert abs(np.exp(-gap).mean() - 1) < 4.5 * np.exp(-gap).std() / np.sqrt(300)
    assert 0 < (upper - lower).mean() < 0.2
    assert below.invalid.sum() == 0
    again = gather(list(ends.both(jr.key(1), 5, block=2)))
    np.testing.assert_allclose(again[1].end.value, lower[:5], rtol=1e-9)


def test_an_estimated_model_is_refused():
    prior = SelfNormalized(StandardNormal((2,)), lambda z: jnp.sum(z), 3)
    with pytest.raises(TypeError, match="joint density is exact"):
        AnnealedEnds(vae(prior), linear(4))


class Discrete(eqx.Module):
    """A guide to codes."""

    def __call__(self, x):
        return Bernoulli(0.3 * x)


def test_discrete_latents_are_refused():
    joint = Joint(Bernoulli(jnp.zeros(2)), Likelihood())
    model = Marginal(joint, Amortized(Discrete()))
    ends = AnnealedEnds(model, linear(4), chains=2, leapfrogs=2)
    with pytest.raises(TypeError, match="Kernels move continuous events"):
        next(ends.lower(jr.key(0), examples(2)))


def test_temperatures_out_of_order_are_refused():
    with pytest.raises(ValueError, match="do not decrease"):
        AnnealedEnds(vae(), [0.6, 0.3, 1.0])


class Steep(eqx.Module):
    """A likelihood that is NaN to the right of a cliff, or everywhere but at zero."""

    cliff: float

    def __call__(self, z):
        broken = jnp.sum(jnp.log(jnp.where(z > self.cliff, jnp.nan, 1.0)))
        return Normal(z + broken, jnp.full(2, jnp.log(SCALE)))


def test_nan_in_a_chain_is_counted_and_lowers_the_verdict():
    model = Marginal(Joint(StandardNormal((2,)), Steep(1.0)), Amortized(Guide()))
    ends = AnnealedEnds(model, linear(5), chains=20, leapfrogs=3, step_size=0.3)
    xs = examples(20)
    found = gather(list(ends.lower(jr.key(0), xs)))
    assert found.invalid.sum() > 0
    assert not np.any(np.isnan(found.end.value))
    assert "do not trust" in lowered("certified", int(found.invalid.sum()))
    assert lowered("certified", 0) == "certified"


def test_collapsed_step_sizes_stop_the_evaluation():
    model = Marginal(Joint(StandardNormal((2,)), Steep(-9.0)), Amortized(Guide()))
    ends = AnnealedEnds(model, linear(5), chains=2, leapfrogs=3)
    with pytest.raises(CollapsedError, match="accepted 0.0% at a step size of .*start"):
        ends.tuned(jr.key(0), examples(4), rounds=5)


def test_rate_and_distortion_add_up():
    xs = examples(2000)
    told = rate_and_distortion(jr.key(0), vae(), xs)
    # KL(q || prior) and -E_q log p(x|z) in closed form, for q = N(0.6 x, e^-1.2).
    v = np.exp(-1.2)
    m = 0.6 * xs
    rate = 0.5 * np.sum(v + m**2 - 1 - np.log(v), axis=1)
    distortion = np.sum(
        0.5 * np.log(2 * np.pi * SCALE**2) + ((xs - m) ** 2 + v) / (2 * SCALE**2),
        axis=1,
    )
    assert told["rate"] == pytest.approx(rate.mean(), abs=0.15)
    assert told["distortion"] == pytest.approx(distortion.mean(), abs=0.15)
    assert (told["active_units"], told["units"]) == (2, 2)
    assert rate_and_distortion(jr.key(0), StandardNormal((2,)), xs) == {}
