"""Refined hierarchical draws: what they gain, and what they refuse. The law is in
tests/contract/cases_rooted.py.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import taut
from taut.recipes import SemiImplicit


def target():
    """`N(z; 1, 0.5^2)` times 2, in one dimension: `log Z = log 2`."""
    law = taut.Normal(jnp.ones(1), jnp.log(jnp.full(1, 0.5)))
    return taut.Tilted(law, lambda z: -jnp.log(2.0))


def hierarchy(weights=taut.EqualWeights(), *, shared=True):  # noqa: B008
    """Two branches, both too far to the left."""

    def branch(root):
        locs = jnp.stack([0.2 * root - 0.3, 0.2 * root - 0.1])
        return eqx.filter_vmap(taut.Normal)(locs, jnp.full((2, 1), -0.5))

    root = taut.Normal(jnp.zeros(1), jnp.zeros(1))
    reverse = lambda z: taut.Normal(0.1 * z, jnp.zeros(1))
    return taut.Hierarchical(root, branch, reverse, 2, weights, shared=shared)


def moved(q):
    return taut.Annealed(q, taut.Langevin(0.4), jnp.linspace(0.25, 1, 4), 1)


def test_moves_tighten_the_bound():
    @eqx.filter_jit
    def bounds(sampler):
        run = lambda key: sampler.run(key, target()).log_z
        return jax.vmap(run)(jr.split(jr.key(0), 20_000))

    plain, refined = map(bounds, (hierarchy(), refiner()))
    gain, error = refined.mean() - plain.mean(), (refined - plain).std() / 20_000**0.5
    assert gain > 0.1 + 5 * error
    for found in (plain, refined):
        w = jnp.exp(found - jnp.log(2.0))
        assert abs(w.mean() - 1) < 4.5 * w.std() / 20_000**0.5
        assert found.mean() < jnp.log(2.0)


def refiner():
    return taut.HierarchicalRefined(hierarchy(), moved)


def test_all_particles_of_all_branches():
    q = lambda density: taut.Importance(density, 3)
    sampler = taut.HierarchicalRefined(hierarchy(), q)
    particles = eqx.filter_jit(sampler.run)(jr.key(0), target())
    assert particles.value.shape == (6, 1)
    assert particles.log_weight.shape == (6,)
    score = jax.jit(jax.vmap(lambda z: target().log_prob(jr.key(0), z)))
    expected = score(particles.value)
    assert jnp.allclose(particles.log_target, expected)


def test_gradients_reach_root_branches_and_moves():
    @jax.jit
    def bound(scale, shift, step):
        branch = lambda root: eqx.filter_vmap(taut.Normal)(
            jnp.stack([root * shift, root - shift]), jnp.zeros((2, 1))
        )
        root = taut.Normal(jnp.zeros(1), jnp.full(1, scale))
        reverse = lambda z: taut.Normal(0.1 * z, jnp.zeros(1))
        base = taut.Hierarchical(root, branch, reverse, 2)
        refine = lambda q: taut.Annealed(q, taut.Langevin(step), jnp.ones(1))
        return taut.HierarchicalRefined(base, refine).run(jr.key(1), target()).log_z

    at = (0.1, 0.3, 0.2)
    slopes = jax.jit(jax.grad(bound, (0, 1, 2)))(*at)
    for i, slope in enumerate(slopes):
        up, down = ([v + d * (i == k) for k, v in enumerate(at)] for d in (1e-5, -1e-5))
        assert abs(slope) > 1e-6
        assert abs(slope - (bound(*up) - bound(*down)) / 2e-5) < 1e-5


def test_weights_that_depend_on_the_draws_are_refused():
    with pytest.raises(TypeError, match="same at every point"):
        taut.HierarchicalRefined(hierarchy(taut.PowerWeights(1.0)), moved)


def test_roots_apart_are_refused():
    with pytest.raises(ValueError, match="share their root"):
        taut.HierarchicalRefined(hierarchy(shared=False), moved)


def test_a_reverse_model_that_is_only_estimated_is_refused():
    """Under one key for all, as `known` has it, its estimate would be no density."""
    base = hierarchy()
    law = taut.Normal(jnp.zeros(1), jnp.zeros(1))
    mixed = lambda z: SemiImplicit(law, lambda u: taut.Normal(u, jnp.zeros(1)), 2)
    given = taut.Hierarchical(base.root, base.branch, mixed, 2)
    sampler = taut.HierarchicalRefined(given, moved)
    with pytest.raises(TypeError, match="only estimated"):
        eqx.filter_eval_shape(sampler.run, jr.key(0), target())


# -- flows ----------------------------------------------------------------------------


def test_a_flow_is_its_noise_back_and_forth(getkey):
    bijections = pytest.importorskip("flowjax.bijections")
    flow = taut.FlowJAX(bijections.Planar(getkey(), dim=3, negative_slope=0.2))
    noise = flow.noise(getkey())
    x = flow.from_noise(noise)
    assert jnp.allclose(flow.to_noise(x), noise)
    slope = jnp.linalg.slogdet(jax.jacobian(flow.from_noise)(noise))[1]
    log_noise = taut.StandardNormal((3,)).log_density(noise)
    assert jnp.allclose(flow.log_density(x), log_noise - slope)
    assert jax.tree.leaves(flow) == jax.tree.leaves(eqx.filter(flow, eqx.is_array))


def test_a_flow_needs_a_bijection_and_its_condition(getkey):
    bijections = pytest.importorskip("flowjax.bijections")
    with pytest.raises(TypeError, match="expected a bijection"):
        taut.FlowJAX(taut.StandardNormal((2,)))
    planar = bijections.Planar(getkey(), dim=2, cond_dim=1, width_size=2, depth=1)
    with pytest.raises(ValueError, match="expected a condition of shape"):
        taut.FlowJAX(planar)
