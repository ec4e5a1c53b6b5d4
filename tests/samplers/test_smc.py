"""Reductions, resampling laws and filtering truths of sequential Monte Carlo."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.scipy.stats import norm

import taut
from contract import cases_annealing as cases, problems as p
from taut import schedules

KERNEL = taut.HMC(0.4, 2)


def test_one_temperature_is_importance_sampling(getkey):
    key = getkey()
    smc = taut.SMC(p.gaussian_guide(), KERNEL, [1.0], 4, last_move=False)
    importance = taut.Importance(p.gaussian_guide(), 4)
    a = eqx.filter_jit(smc.run)(key, p.gaussian_target())
    b = eqx.filter_jit(importance.run)(key, p.gaussian_target())
    assert jnp.allclose(a.log_weight, b.log_weight, rtol=1e-12)
    assert jnp.array_equal(a.value, b.value)


@pytest.mark.parametrize(("num", "threshold"), [(1, None), (4, 1e-9)])
def test_without_resampling_it_is_annealed(num, threshold, getkey):
    """One lane, or a threshold that is never met: the same chains, the same weights."""
    key, betas = getkey(), schedules.linear(4)
    smc = taut.SMC(p.gaussian_guide(), KERNEL, betas, num, threshold=threshold)
    annealed = taut.Annealed(p.gaussian_guide(), KERNEL, betas, num)
    a = eqx.filter_jit(smc.run)(key, p.gaussian_target())
    b = eqx.filter_jit(annealed.run)(key, p.gaussian_target())
    assert jnp.allclose(a.log_weight, b.log_weight, rtol=1e-9)
    assert jnp.allclose(a.value, b.value, rtol=1e-9)


@pytest.mark.parametrize("scheme", [taut.Systematic(), taut.Multinomial()])
@pytest.mark.parametrize(
    "weights", [[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.34, 0.0, 0.66]]
)
def test_retained_law_is_the_conditional_law(scheme, weights, getkey):
    """Triples of ancestors with lane 0 from 0: by conditioning, and by the law."""
    log_weight, num = jnp.log(jnp.array(weights)), 60_000
    code = lambda a: a[..., 0] * 9 + a[..., 1] * 3 + a[..., 2]
    keys = jr.split(getkey(), (2, num))
    weights = np.array(weights)
    draw = jax.jit(jax.vmap(lambda key: scheme.draw(key, log_weight)))
    free = np.asarray(draw(keys[0]))
    # Each lane's ancestor is i with probability w_i.
    for lane in range(3):
        share = np.bincount(free[:, lane], minlength=3) / num
        error = np.sqrt(weights * (1 - weights) / num)
        assert np.all(np.abs(share - weights) <= 5 * error)
    law = jax.jit(jax.vmap(lambda key: scheme.draw_retained(key, log_weight)))
    given = np.asarray(law(keys[1]))
    assert np.all(given[:, 0] == 0)
    chosen = free[free[:, 0] == 0]
    a = np.bincount(code(chosen), minlength=27) / len(chosen)
    b = np.bincount(code(given), minlength=27) / num
    error = np.sqrt(a * (1 - a) / len(chosen) + b * (1 - b) / num)
    assert np.all(np.abs(a - b) <= 5 * error)


def test_nan_on_the_way_back_is_no_upper_end_below_the_truth(getkey):
    """As for `Annealed`: a bound that says nothing, not a lie."""
    guide = p.gaussian_guide()
    steep = taut.Tilted(guide, lambda z: jnp.sum(z**4))
    smc = taut.SMC(guide, taut.Langevin(20.0), schedules.linear(5), 3)
    z = jnp.full(guide.shape, 1.5)
    run = eqx.filter_jit(smc.run_conditional)
    particles = run(getkey(), steep, z, steep.log_prob(getkey(), z))
    assert particles.log_z == jnp.inf


def test_no_weight_goes_nowhere():
    zero = jnp.full(3, -jnp.inf)
    for scheme in (taut.Systematic(), taut.Multinomial()):
        assert jnp.all(scheme.draw(jr.key(0), zero) < 3)
    one = jnp.array([-jnp.inf, 0.0, -jnp.inf])
    assert jnp.all(taut.Systematic().draw(jr.key(0), one) == 1)


def kalman(y):
    """The log evidence of `cases.kalman_model`, by the filter's recursion."""
    loc, variance, total = 0.0, 1.0, 0.0
    for t, seen in enumerate(y):
        if t > 0:
            loc, variance = 0.9 * loc, 0.81 * variance + 0.5
        total += norm.logpdf(seen, loc, jnp.sqrt(variance + 0.3))
        gain = variance / (variance + 0.3)
        loc, variance = loc + gain * (seen - loc), (1 - gain) * variance
    return total


def forward_algorithm(model, y):
    """The log evidence of a chain of finite states."""
    rows = jax.nn.softmax(model.transition.logits, axis=-1)
    emit = jnp.stack([jax.nn.sigmoid(model.emission.logits)] * 1, -1)
    belief, total = jax.nn.softmax(model.initial.logits), 0.0
    for t, seen in enumerate(y):
        belief = belief @ rows if t > 0 else belief
        belief = belief * jnp.where(seen[0] > 0.5, emit[:, 0], 1 - emit[:, 0])
        total, belief = total + jnp.log(jnp.sum(belief)), belief / jnp.sum(belief)
    return total


def test_truths_of_the_cases():
    """Enumeration and the Gaussian integral agree with the classical recursions."""

    @jax.jit
    def gaussian():
        return cases.filter_of_kalman().log_z, kalman(cases.kalman_observations())

    @jax.jit
    def finite():
        case = cases.filter_of_states()
        return case.log_z, forward_algorithm(case.target.joint, case.target.x)

    assert jnp.allclose(*gaussian())
    assert jnp.allclose(*finite())


def test_filter_of_many_lanes_is_close(getkey):
    """Thirty steps: the Kalman filter's evidence, from below and from above."""
    short = cases.kalman_model()
    model = taut.StateSpace(short.initial, short.transition, short.emission, 30)
    sampler = taut.ParticleFilter(
        cases.NearlyFirst(), cases.Nearly(), 300, threshold=0.5
    )

    def both(key):
        jkey, lkey, ukey = jr.split(key, 3)
        (z, y), log_joint = model.sample_and_log_prob(jkey)
        target = taut.Conditioned(model, y)
        below = sampler.run(lkey, target)
        above = sampler.run_conditional(ukey, target, z, log_joint)
        return y, below, above

    y, below, above = eqx.filter_jit(both)(getkey())
    truth = kalman(y)
    assert abs(below.log_z - truth) < 0.3
    assert abs(above.log_z - truth) < 0.3
    assert below.value.shape == (300, 30)
    assert below.diagnostics.size.shape == (300, 29)
    target = taut.Conditioned(model, y)
    again = jax.jit(jax.vmap(lambda z: target.log_prob(jr.key(0), z)))(below.value)
    assert jnp.allclose(below.log_target, again)


def test_filters_are_density_estimates_with_gradients(getkey):
    """Variational SMC: with one lane, the gradient is the chain's ELBO gradient."""
    key, y = getkey(), cases.kalman_observations()

    def loss(shift, num):
        model = cases.kalman_model()
        first = taut.Normal(shift, jnp.zeros(()))
        moved = taut.StateSpace(first, model.transition, model.emission, 3)
        sampler = taut.ParticleFilter(cases.NearlyFirst(), cases.Nearly(), num)
        return sampler.run(key, taut.Conditioned(moved, y)).log_z

    shift = jnp.asarray(0.2)
    grad = jax.jit(jax.grad(loss), static_argnums=1)(shift, 1)
    value = jax.jit(loss, static_argnums=1)
    finite = (value(shift + 1e-5, 1) - value(shift - 1e-5, 1)) / 2e-5
    assert jnp.allclose(grad, finite, rtol=1e-5)


def test_refusals(getkey):
    key = getkey()
    sampler = cases.finite_filter()
    y = jnp.array([[1.0], [0.0], [1.0]])
    with pytest.raises(TypeError, match="unfolds in time.*got Tilted"):
        sampler.run(key, p.finite_target())
    with pytest.raises(ValueError, match="Expected 3 observations"):
        sampler.run(key, taut.Conditioned(cases.finite_chain(), y[:2]))
    chain = taut.Conditioned(cases.finite_chain(), y)
    with pytest.raises(ValueError, match=r"Expected 3 given states.*axes \[\(2,\)\]"):
        sampler.run_conditional(key, chain, jnp.zeros(2, int), jnp.zeros(()))
    with pytest.raises(ValueError, match="The target must return one real number"):
        sampler.run_conditional(key, chain, jnp.zeros(3, int), jnp.zeros(3))
    with pytest.raises(ValueError, match="threshold is the share"):
        taut.SMC(p.gaussian_guide(), KERNEL, [1.0], 2, threshold=1.5)
    with pytest.raises(ValueError, match="num must be an integer of at least 1"):
        taut.SMC(p.gaussian_guide(), KERNEL, [1.0], 0)
    with pytest.raises(ValueError, match="3 states and observations"):
        cases.finite_chain().log_prob(key, (jnp.zeros(2, int), y))
    smc = taut.SMC(p.gaussian_guide(), KERNEL, [1.0], 2)
    frozen = taut.Frozen(p.gaussian_target(), key)
    with pytest.raises(TypeError, match="Frozen"):
        smc.run_conditional(key, frozen, jnp.zeros(2), jnp.zeros(()))


class Lost(eqx.Module):
    """A proposal that has no density after states above 1."""

    def __call__(self, z, observed):
        log_scale = jnp.where(z > 1, jnp.nan, 0.0)
        return taut.Normal(0.9 * z, log_scale)


def test_nan_on_the_retained_trajectory_is_no_upper_end_below_the_truth(getkey):
    """The proposal breaks down where the given trajectory goes."""
    model, y = cases.kalman_model(), cases.kalman_observations()
    target = taut.Conditioned(model, y)
    filtered = taut.ParticleFilter(cases.NearlyFirst(), Lost(), 3)

    @jax.jit
    def above(key, z):
        log_target = target.log_prob(key, z)
        return filtered.run_conditional(key, target, z, log_target).log_z

    assert above(getkey(), jnp.array([0.2, 1.5, 0.3])) == jnp.inf
    assert jnp.isfinite(above(getkey(), jnp.array([0.2, 0.3, 1.5])))
