"""Reductions, known truths, gradients and errors of annealed importance sampling."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import pytest
from jax.scipy.stats import norm
from jaxtyping import Array

import taut
from contract import problems as p
from taut import schedules
from taut.core.kernel import Path

# The sheet's fixture: z ~ N(0, 1), x given z ~ N(z, 0.5), x = 1.5, q = N(0.5, 1).
LOG_Z = -1.87167


class Noisy(eqx.Module):
    def __call__(self, z):
        return taut.Normal(z, jnp.full_like(z, 0.5 * jnp.log(0.5)))


def fixture():
    joint = taut.Joint(taut.Normal(jnp.zeros(1), jnp.zeros(1)), Noisy())
    return taut.Conditioned(joint, jnp.array([1.5]))


def guide():
    return taut.Normal(jnp.array([0.5]), jnp.zeros(1))


def posterior():
    return taut.Normal(jnp.array([1.0]), jnp.full(1, -0.5 * jnp.log(3.0)))


class Perfect(taut.AbstractKernel):
    """Independent draws from every density of the fixture's path, all Gaussian."""

    reparameterised: ClassVar[bool] = False

    def init(self, path, position):
        return path.value(position)

    def forward(self, key, path, t, state):
        b = path.betas[t]
        # q = N(0.5, 1) and the target is proportional to N(1, 1/3).
        precision = (1 - b) + 3 * b
        mean = ((1 - b) * 0.5 + 3 * b) / precision
        z = mean + jr.normal(key, (1,)) / jnp.sqrt(precision)
        return path.value(z), jnp.zeros(())

    def backward(self, key, path, t, state):
        return self.forward(key, path, t, state)


def weights(sampler, keys):
    return jax.jit(jax.vmap(lambda key: sampler.run(key, fixture()).log_z))(keys)


def back_weights(sampler, keys):
    def one(key):
        zkey, rkey = jr.split(key)
        z = posterior().sample(zkey)
        log_target = fixture().log_prob(zkey, z)
        return sampler.run_conditional(rkey, fixture(), z, log_target).log_z

    return jax.jit(jax.vmap(one))(keys)


def assert_mean(values, truth):
    error = jnp.std(values) / jnp.sqrt(values.size)
    assert abs(jnp.mean(values) - truth) < 5 * error + 1e-5, (jnp.mean(values), truth)


@pytest.mark.parametrize(
    ("num", "forward", "reverse"),
    [
        (1, -2.69736, -1.53070),
        (2, -2.23643, -1.65309),
        (5, -2.00117, -1.76784),
        (10, -1.93327, -1.81660),
    ],
)
def test_perfect_kernels_and_a_linear_schedule(num, forward, reverse, getkey):
    """The sheet's table; the gap is `(KL(q||p) + KL(p||q)) / T`."""
    sampler = taut.Annealed(guide(), Perfect(), schedules.linear(num), last_move=False)
    keys = jr.split(getkey(), 40_000)
    below, above = weights(sampler, keys), back_weights(sampler, keys)
    assert_mean(below, forward)
    assert_mean(above, reverse)
    divergences = 0.5 * (0.5**2 * (1 + 3) + 3 + 1 / 3 - 2)
    assert_mean(above - below, divergences / num)


def test_one_temperature_without_a_move_is_importance_sampling(getkey):
    key = getkey()
    annealed = taut.Annealed(guide(), taut.HMC(0.3), [0.0, 1.0], 5, last_move=False)
    importance = taut.Importance(guide(), 5)
    run = lambda sampler: jax.jit(lambda: sampler.run(key, fixture()))()
    a, b = run(annealed), run(importance)
    for name in ("value", "log_target", "log_weight", "log_likelihood"):
        same = jnp.allclose(getattr(a, name), getattr(b, name), rtol=1e-14, atol=1e-14)
        assert same, name
    z = jnp.array([0.8])
    log_target = fixture().log_prob(key, z)
    back = eqx.filter_jit(annealed.run_conditional)
    a = back(key, fixture(), z, log_target)
    assert jnp.allclose(a.log_weight[0], a.log_target[0] - guide().log_density(z))


def test_metropolis_at_the_target_keeps_the_first_weight(getkey):
    """Schedule 0, 1, .., 1: the moves change no weight."""
    key = getkey()
    sampler = taut.Annealed(guide(), taut.HMC(0.3), [0.0, 1.0, 1.0, 1.0], 4)
    a = eqx.filter_jit(sampler.run)(key, fixture())
    b = eqx.filter_jit(taut.Importance(guide(), 4).run)(key, fixture())
    assert jnp.allclose(a.log_weight, b.log_weight, rtol=1e-12)
    assert not jnp.any(a.value == b.value)
    assert a.diagnostics.acceptance.shape == (4, 3)


def test_a_perfect_guide_has_constant_weights(getkey):
    """The printed algorithm would give 1.1 log p(x) here."""
    sampler = taut.Annealed(posterior(), taut.HMC(0.3), [0.0, 0.5, 0.6, 1.0], 3)
    particles = eqx.filter_jit(sampler.run)(getkey(), fixture())
    assert jnp.allclose(particles.log_weight, LOG_Z, atol=1e-5)
    assert jnp.allclose(particles.diagnostics.log_ratio, LOG_Z, atol=1e-5)


def test_hmc_with_a_scale_moves_in_those_units(getkey):
    """Chains of `z` in units of `scale` are the chains of `z / scale`."""
    key, scale = getkey(), jnp.array([0.2, 5.0])
    target, proposal = p.wide_normal(), taut.StandardNormal((2,))

    def ends(unit, kernel):
        starts = taut.Normal(jnp.zeros(2), jnp.log(unit))
        at = taut.Normal(jnp.ones(2) * unit, jnp.log(2 * unit))
        return taut.Annealed(starts, kernel, schedules.linear(4), 3).run(key, at)

    plain = jax.jit(lambda: ends(jnp.ones(2), taut.HMC(0.5, 3)))()
    scaled = jax.jit(lambda: ends(scale, taut.HMC(0.5, 3, scale)))()
    assert jnp.allclose(scaled.value, scale[None] * plain.value, rtol=1e-9)
    assert jnp.allclose(scaled.log_weight, plain.log_weight, rtol=1e-9, atol=1e-9)
    sampler = taut.Annealed(proposal, taut.HMC(0.5, 3, jnp.ones(3)), [1.0])
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        sampler.run(key, target)
    sampler = taut.Annealed(proposal, taut.HMC(0.5, 3, jnp.array([1.0, 0.0])), [1.0])
    with pytest.raises(Exception, match="HMC: expected a `scale` that is positive"):
        eqx.filter_jit(sampler.run)(key, target)


@pytest.mark.parametrize("kernel", [taut.HMC(0.7, 2), taut.Langevin(0.5)])
def test_reverse_chains_from_one_draw(kernel, getkey):
    sampler = taut.Annealed(guide(), kernel, schedules.linear(3))

    def one(key):
        zkey, rkey = jr.split(key)
        z = posterior().sample(zkey)
        log_target = fixture().log_prob(zkey, z)
        chains = taut.reverse_chains(rkey, sampler, fixture(), z, log_target, 3)
        return -taut.harmonic_log_z(chains.log_weight)

    inverse = jnp.exp(jax.jit(jax.vmap(one))(jr.split(getkey(), 20_000)))
    assert_mean(inverse, jnp.exp(-LOG_Z))
    assert_mean(jnp.exp(weights(sampler, jr.split(getkey(), 20_000))), jnp.exp(LOG_Z))


def test_chunks_change_nothing(getkey):
    key = getkey()

    def run(chunk):
        kernel = taut.HMC(0.3, 3)
        sampler = taut.Annealed(
            p.gaussian_guide(), kernel, schedules.sigmoid(20), 5, chunk=chunk
        )
        z = jnp.zeros(2)
        target = p.gaussian_target()
        given = sampler.run_conditional(key, target, z, target.log_prob(key, z))
        return sampler.run(key, target), given

    whole, parts = (jax.jit(run, static_argnums=0)(chunk) for chunk in (None, 2))
    same = lambda a, b: jnp.allclose(a, b, rtol=1e-9, atol=1e-9)
    assert jtu.tree_all(jtu.tree_map(same, whole, parts))
    # Chain k has the same key whatever the number of chains.
    kernel, betas = taut.HMC(0.3, 3), schedules.sigmoid(20)
    fewer = taut.Annealed(p.gaussian_guide(), kernel, betas, 2)
    some = eqx.filter_jit(fewer.run)(key, p.gaussian_target()).log_weight
    assert jnp.allclose(some, whole[0].log_weight[:2], rtol=1e-9)


def tree_fixture():
    """The two dimensions of the shared problem, as a named pair."""
    x = p.observation()
    first = taut.Normal(jnp.zeros(()), jnp.zeros(()))
    second = taut.Normal(jnp.zeros(1), jnp.zeros(1))
    energy = lambda z: (
        -norm.logpdf(x[0], z[0], jnp.sqrt(p.NOISE))
        - jnp.sum(norm.logpdf(x[1], z[1], jnp.sqrt(p.NOISE)))
    )
    proposal = taut.Joint(first, lambda z: second)
    return proposal, taut.Tilted(proposal, energy)


def test_events_may_be_any_pytree(getkey):
    proposal, target = tree_fixture()
    sampler = taut.Annealed(proposal, taut.HMC(0.4), schedules.linear(10), 200)
    particles = eqx.filter_jit(sampler.run)(getkey(), target)
    assert [leaf.shape for leaf in particles.value] == [(200,), (200, 1)]
    scale = jnp.std(jnp.exp(particles.log_weight - p.gaussian_log_z())) / 200**0.5
    assert abs(jnp.exp(particles.log_z - p.gaussian_log_z()) - 1) < 5 * scale


# Gradients.


def bound(proposal, kernel, betas, scale, key):
    """A lower end with a parameter in every place."""
    target = taut.Tilted(taut.Normal(jnp.zeros(2), scale), lambda z: jnp.sum(z**4) / 8)
    return taut.Annealed(proposal, kernel, betas, 3).run(key, target).log_z


def test_langevin_gradients_are_those_of_the_whole_chain(getkey):
    proposal = p.gaussian_guide()
    learned = schedules.Learned(schedules.sigmoid(3))
    kernel = taut.Langevin(jnp.array([0.3, 0.2, 0.4]))
    args = (proposal, kernel, learned, jnp.array([0.1, -0.1]))
    flat, unravel = jax.flatten_util.ravel_pytree(args)
    key = getkey()
    loss = jax.jit(lambda flat: bound(*unravel(flat), key))
    grad = jax.grad(loss)(flat)
    small = 1e-5 * jnp.eye(flat.size)
    finite = jax.vmap(lambda d: (loss(flat + d) - loss(flat - d)) / 2e-5)(small)
    assert jnp.allclose(grad, finite, rtol=1e-6, atol=1e-7)
    assert jnp.all(jnp.abs(finite) > 1e-4)  # every parameter counts


def test_no_gradient_flows_through_metropolis(getkey):
    """The model's gradient is the weighted average at the ends; the rest has none."""
    key = getkey()
    sampler = taut.Annealed(
        p.gaussian_guide(), taut.HMC(0.3, 2), schedules.linear(3), 4
    )
    joint = p.gaussian_joint()

    def loss(both, key):
        joint, sampler = both
        return sampler.run(key, taut.Conditioned(joint, p.observation())).log_z

    model, rest = eqx.filter_jit(eqx.filter_grad(loss))((joint, sampler), key)
    assert all(jnp.all(leaf == 0) for leaf in jtu.tree_leaves(rest))
    particles = eqx.filter_jit(sampler.run)(key, p.gaussian_target())
    at_ends = jnp.sum(particles.probs[:, None] * particles.value, 0)  # d log N(z; m)/dm
    assert jnp.allclose(model.prior.loc, at_ends)
    assert float(jnp.max(jnp.abs(at_ends))) > 0.05


def test_memory_of_the_gradient_is_free_of_the_length():
    def size(num):
        def loss(joint):
            target = taut.Conditioned(joint, jnp.zeros(50))
            q = taut.Normal(jnp.zeros(50), jnp.zeros(50))
            kernel = taut.HMC(0.1, 5)
            sampler = taut.Annealed(q, kernel, schedules.linear(num), 20)
            return sampler.run(jr.key(0), target).log_z

        step = eqx.filter_jit(eqx.filter_grad(loss))
        compiled = step.lower(p.gaussian_joint(50)).compile().compiled
        return compiled.memory_analysis().temp_size_in_bytes

    # Acceptances and ratios of 45 more temperatures, 20 chains, are 14 kB.
    assert size(50) - size(5) < 30_000


# What one move costs.


class Counted(taut.AbstractTarget[Array]):
    """Its gradient takes one cosine."""

    exact: ClassVar[bool] = True

    def log_prob(self, key, x):
        return jnp.sin(jnp.sum(x)) - jnp.sum(x**2)


def count(jaxpr, name):
    """How often a primitive is executed, loops included."""
    total = 0
    for eqn in jaxpr.eqns:
        total += eqn.primitive.name == name
        times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        for value in eqn.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += times * count(inner, name)
    return total


@pytest.mark.parametrize(
    ("kernel", "gradients"),
    [
        (taut.HMC(0.1, 5), 5),
        (taut.HMC(0.1, 1), 1),
        (taut.MALA(0.1), 1),
        (taut.Langevin(0.1), 1),
        (taut.RandomWalk(0.1), 0),
    ],
)
def test_gradients_of_a_move(kernel, gradients):
    path = Path(guide(), Counted(), jr.key(0), jnp.ones(2))
    state = kernel.init(path, jnp.zeros(1))
    move = lambda key, state: kernel.forward(key, path, 1, state)
    jaxpr = jax.make_jaxpr(move)(jr.key(0), state).jaxpr
    assert count(jaxpr, "cos") == gradients
    sampler = taut.Annealed(guide(), kernel, schedules.linear(7), 3)
    run = jax.make_jaxpr(lambda key: sampler.run(key, Counted()))(jr.key(0)).jaxpr
    first = 0 if gradients == 0 else 1
    assert count(run, "cos") == first + 7 * gradients


def test_hmc_walks_to_its_target(getkey):
    """One long path at the target: its mean and variance."""
    target = taut.Normal(jnp.array([1.0, -2.0]), jnp.log(jnp.array([0.5, 1.5])))
    start = taut.Normal(jnp.zeros(2), jnp.zeros(2))
    sampler = taut.Annealed(start, taut.HMC(0.4), schedules.constant(40), 4000)
    z = eqx.filter_jit(sampler.run)(getkey(), target).value
    error = jnp.exp(target.log_scale) / jnp.sqrt(4000)
    assert jnp.all(jnp.abs(jnp.mean(z, 0) - target.loc) < 5 * error)
    scale = jnp.exp(target.log_scale)
    assert jnp.all(jnp.abs(jnp.std(z, 0) - scale) < 5 * scale / jnp.sqrt(8000))


# What is wrong is said.


class Cliff(taut.AbstractTarget[Array]):
    """NaN beyond a cliff."""

    exact: ClassVar[bool] = True

    def log_prob(self, key, x):
        return -0.5 * jnp.sum(x**2) + jnp.sum(jnp.log(jnp.where(x > 1, jnp.nan, 1.0)))


@pytest.mark.parametrize("kernel", [taut.HMC(0.5, 2), taut.Langevin(0.5)])
def test_nan_is_counted_and_has_no_weight(kernel, getkey):
    sampler = taut.Annealed(guide(), kernel, schedules.linear(3), 200)
    particles = eqx.filter_jit(sampler.run)(getkey(), Cliff())
    assert not jnp.any(jnp.isnan(particles.log_weight))
    zero = jnp.isneginf(particles.log_weight)
    assert jnp.any(zero)
    assert not jnp.all(zero)
    assert jnp.all(particles.diagnostics.invalid[zero] > 0)
    assert jnp.isfinite(particles.log_z)


@pytest.mark.parametrize("num", [1, 3])
def test_nan_on_the_way_back_is_no_upper_end_below_the_truth(num, getkey):
    """Steps so long that the chain overflows: a bound that says nothing, not a lie."""
    steep = taut.Tilted(guide(), lambda z: jnp.sum(z**4))
    sampler = taut.Annealed(guide(), taut.Langevin(20.0), schedules.linear(5), num)
    z = jnp.full(guide().shape, 1.5)
    run = eqx.filter_jit(sampler.run_conditional)
    particles = run(getkey(), steep, z, steep.log_prob(getkey(), z))
    assert particles.log_z == jnp.inf


@pytest.mark.parametrize(
    "betas", [[0.5], [0.6, 0.5, 1.0], [], [0.0], [-0.1, 1.0], [0.5, jnp.nan, 1.0], 1.0]
)
def test_wrong_betas(betas):
    with pytest.raises(ValueError, match="do not decrease.*end in exactly 1; got"):
        taut.Annealed(guide(), taut.HMC(0.1), betas)


@pytest.mark.parametrize("betas", [[0.5, 0.9], [0.6, 0.5, 1.0], [-0.1, 1.0]])
def test_wrong_betas_that_come_as_the_program_runs(betas, getkey):
    """Under `jit`, or of a schedule that is a function."""
    key = getkey()

    def run(betas):
        return taut.Annealed(guide(), taut.HMC(0.1), betas).run(key, fixture()).log_z

    for use in (run, lambda betas: run(lambda: betas)):
        assert jnp.isfinite(eqx.filter_jit(use)(jnp.array([0.5, 1.0])))
        with pytest.raises(Exception, match="end in exactly 1; met others"):
            jax.block_until_ready(eqx.filter_jit(use)(jnp.array(betas)))


def test_learned_schedules_take_steps():
    with pytest.raises(ValueError, match="betas that increase.*Leave repeated"):
        schedules.Learned([0.5, 0.5, 1.0])


def test_learned_schedules_never_decrease(float32):
    """Though sums of rounded numbers may pass their end."""
    learned = schedules.Learned(jnp.linspace(0, 1, 1001))
    for seed in range(20):
        logits = 3 * jr.normal(jr.key(seed), (1000,))
        # The last step is smaller than the rounding of the sum.
        betas = eqx.tree_at(lambda s: s.logits, learned, logits.at[-1].set(-30.0))()
        assert jnp.all(jnp.diff(betas) >= 0)
        assert betas[-1] == 1


def test_refusals(getkey):
    key = getkey()
    run = lambda proposal, kernel=taut.HMC(0.1): taut.Annealed(  # noqa: B008
        proposal, kernel, schedules.linear(3)
    ).run(key, fixture())
    with pytest.raises(TypeError, match="move continuous events.*Categorical"):
        run(p.finite_proposal())
    with pytest.raises(TypeError, match="move continuous events.*Bernoulli"):
        run(taut.Bernoulli(jnp.zeros(1)))
    with pytest.raises(TypeError, match="proposal whose density is known"):
        run(taut.Induced(fixture(), taut.Importance(guide())))
    with pytest.raises(
        ValueError, match=r"step size of shape \(\), or of shape \(3,\)"
    ):
        run(guide(), taut.HMC(jnp.ones(4)))
    with pytest.raises(ValueError, match="leapfrogs must be an integer of at least 1"):
        taut.HMC(0.1, 0)
    with pytest.raises(ValueError, match="num must be an integer of at least 1"):
        taut.Annealed(guide(), taut.HMC(0.1), [1.0], 0)
    sampler = taut.Annealed(guide(), taut.HMC(0.1), schedules.linear(3))
    with pytest.raises(ValueError, match="events of shape"):
        sampler.run_conditional(key, fixture(), jnp.zeros(2), jnp.zeros(()))


def test_an_estimated_target_has_a_lower_end_only(getkey):
    prior = taut.Normal(jnp.zeros(1), jnp.zeros(1))
    estimated = taut.SelfNormalized(prior, lambda z: 0.3 * jnp.sum(z**2), 3)
    target = taut.Conditioned(taut.Joint(estimated, Noisy()), jnp.array([1.5]))
    sampler = taut.Annealed(guide(), taut.HMC(0.3), schedules.linear(3), 2)
    keys = jr.split(getkey(), 20_000)
    run = jax.jit(jax.vmap(lambda key: sampler.run(key, target).log_z))
    # One function per chain, unbiased: agrees with plain importance sampling.
    plain = taut.Importance(guide(), 10)
    other = jax.jit(jax.vmap(lambda key: plain.run(key, target).log_z))
    a, b = jnp.exp(run(keys)), jnp.exp(other(keys))
    error = jnp.sqrt((jnp.var(a) + jnp.var(b)) / keys.size)
    assert abs(jnp.mean(a) - jnp.mean(b)) < 5 * error
    with pytest.raises(TypeError, match="exact `log_prob`.*only estimated"):
        sampler.run_conditional(keys[0], target, jnp.zeros(1), jnp.zeros(()))
    frozen = taut.Frozen(target, keys[0])
    jax.eval_shape(lambda: sampler.run(keys[0], frozen))
    with pytest.raises(TypeError, match="Frozen"):
        sampler.run_conditional(keys[0], frozen, jnp.zeros(1), jnp.zeros(()))


def test_only_reversible_kernels_go_back(getkey):
    import blackjax

    kernel = taut.BlackJAX(
        blackjax.ghmc,
        {
            "step_size": jnp.asarray(0.1),
            "momentum_inverse_scale": jnp.ones(1),
            "alpha": 0.5,
            "delta": 0.5,
        },
    )
    sampler = taut.Annealed(guide(), kernel, schedules.linear(2))
    with pytest.raises(TypeError, match="not known to be reversible"):
        sampler.run_conditional(getkey(), fixture(), jnp.zeros(1), jnp.zeros(()))
    assert taut.BlackJAX(blackjax.nuts, {}).reversible
