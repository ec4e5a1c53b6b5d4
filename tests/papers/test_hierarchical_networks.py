"""H-IWAE's networks: unbiased from both sides, and what they refuse."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import taut
from taut.core.combine import Conditioned
from taut.nn.hierarchical import Branches, Reverse, Root
from taut.papers.hierarchical.guides import Hierarchy
from taut.papers.hierarchical.settings import HIWAE, IWAEH, Sizes, gradient, hierarchy
from taut.papers.hierarchical.toy import CurvedRing

# -- a small hierarchy, for real ------------------------------------------------------

SMALL = Sizes(latent=2, context=3, hidden=8)


def target():
    decoder = lambda z: taut.Normal(z, jnp.full(2, -0.35))
    joint = taut.Joint(taut.StandardNormal((2,)), decoder)
    x = jnp.array([0.7, -0.4])
    log_z = taut.Normal(jnp.zeros(2), jnp.full(2, 0.5 * jnp.log(1 + jnp.exp(-0.7))))
    return Conditioned(joint, x), log_z.log_density(x)


@pytest.mark.parametrize(
    "guide",
    [HIWAE(3, 0.0), IWAEH(3)],  # the others: tests/contract/cases_samplers.py
)
def test_unbiased_from_both_sides(guide, getkey):
    """The networks, as they start, on a linear Gaussian model of known evidence."""
    aimed, log_z = target()
    net = make_hierarchy(guide, getkey())
    scale = jnp.exp(-0.35)

    @eqx.filter_jit
    def both(key):
        sampler = net(jnp.ones(3))

        def one(key):
            rkey, zkey, ckey = jr.split(key, 3)
            gain = 1 / (1 + scale**2)
            z = gain * aimed.x + jnp.sqrt(scale**2 * gain) * jr.normal(zkey, (2,))
            log_target = aimed.log_prob(zkey, z)
            above = sampler.run_conditional(ckey, aimed, z, log_target).log_z
            return sampler.run(rkey, aimed).log_z - log_z, above - log_z

        return jax.lax.map(one, jr.split(key, 10_000), batch_size=2000)

    below, above = both(getkey())
    # E_run[w / (w + c)] = E_conditional[1 / (w + c)]: bounded, as 1 / w is not.
    for c in (0.1, 1.0, 10.0):
        one, two = 1 / (1 + c * jnp.exp(-below)), 1 / (jnp.exp(above) + c)
        error = jnp.sqrt((one.var() + two.var()) / len(one))
        assert abs(one.mean() - two.mean()) < 4.5 * error
    assert below.mean() < 0 < above.mean()


def make_hierarchy(guide, key):
    """Only the hierarchy: no image is needed."""
    branches = 1 if isinstance(guide, IWAEH) else guide.num
    power = getattr(guide, "power", 0.0)
    shared = not (isinstance(guide, IWAEH) or guide.independent)
    draw = gradient(power, published=False)
    weights = taut.PowerWeights(power)
    return hierarchy(SMALL, guide.num, branches, weights, draw, shared=shared, key=key)


# -- bad input ------------------------------------------------------------------------


def toy_hierarchy(branches=3, reverse=1, size=2, weights=None, num=3):
    keys = jr.split(jr.key(0), 3)
    return Hierarchy(
        Root(2, 1, key=keys[0]),
        Branches(branches, 2, 1, 8, key=keys[1]),
        Reverse(reverse, size, 1, 8, key=keys[2]),
        taut.EqualWeights() if weights is None else weights,
        num,
        taut.root_reparam,
    )


def run(model):
    return model(jnp.ones(1)).run(jr.key(0), CurvedRing())


def test_branches_that_are_not_as_many_as_points():
    with pytest.raises(ValueError, match="expected 3 branches"):
        run(toy_hierarchy(branches=2))


def test_reverse_models_that_are_not_as_many_as_branches():
    with pytest.raises(ValueError, match="a reverse model of 3 branches, or of 1"):
        toy_hierarchy(reverse=2)


def test_weights_that_do_not_sum_to_one():
    with pytest.raises(ValueError, match="add up to"):
        toy_hierarchy(weights=taut.FixedWeights((0.5, 0.4, 0.3)))


def test_fixed_weights_of_another_number():
    with pytest.raises(ValueError, match="expected 3 weights"):
        run(toy_hierarchy(weights=taut.FixedWeights((0.5, 0.5))))


def test_a_reverse_model_of_another_shape():
    wrong = taut.Hierarchical(
        taut.Normal(jnp.zeros(2), jnp.zeros(2)),
        lambda root: eqx.filter_vmap(taut.Normal)(jnp.zeros((3, 2)), jnp.zeros((3, 2))),
        lambda z: taut.Normal(jnp.zeros(3), jnp.zeros(3)),
        3,
    )
    with pytest.raises(ValueError, match="a reverse model over roots"):
        wrong.run(jr.key(0), CurvedRing())


def test_a_reverse_model_told_the_branch_needs_equal_weights():
    with pytest.raises(TypeError, match="depends on the branch"):
        run(toy_hierarchy(reverse=3, weights=taut.PowerWeights(1.0)))


@pytest.mark.parametrize("power", [-1.0, float("nan")])
def test_a_power_below_zero(power):
    with pytest.raises(ValueError, match="exponent of at least 0"):
        HIWAE(3, power).build(Sizes(2, 3, 4), key=jr.key(0))


def test_no_points():
    with pytest.raises(ValueError, match="at least 1"):
        HIWAE(0, 1.0).build(Sizes(2, 3, 4), key=jr.key(0))
