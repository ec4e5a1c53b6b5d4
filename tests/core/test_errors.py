"""Bad input: what was expected, what came, what to do."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

import taut
from taut.testing import check_density, check_sampler


def normal(dim=2):
    return taut.Normal(jnp.zeros(dim), jnp.zeros(dim))


def estimated():
    """A proposal whose density is only estimated."""
    joint = taut.Joint(normal(), lambda z: taut.Normal(z, jnp.zeros(2)))
    return taut.Marginal(joint, lambda x: taut.Importance(normal(), 2))


def target():
    return taut.Tilted(normal(), lambda z: jnp.sum(z))


def run(draw, q, num=3, key=None):
    key = jr.key(0) if key is None else key
    return taut.Importance(q, num, draw=draw).run(key, target())


def test_wrong_event_shapes():
    message = r"Normal has events of shape \(2,\), but met an array of shape \(3,\)"
    with pytest.raises(ValueError, match=message + ".*unbatched: use `jax.vmap`"):
        normal().log_prob(jr.key(0), jnp.zeros(3))
    with pytest.raises(ValueError, match="StandardNormal has events of shape"):
        taut.StandardNormal((2,)).log_prob(jr.key(0), jnp.zeros(()))
    with pytest.raises(ValueError, match="Bernoulli has events of shape"):
        taut.Bernoulli(jnp.zeros(2)).log_prob(jr.key(0), jnp.zeros(3))
    with pytest.raises(ValueError, match=r"Categorical has events of shape \(\)"):
        taut.Categorical(jnp.zeros(3)).log_prob(jr.key(0), jnp.zeros(2, int))


def test_wrong_parameter_shapes():
    with pytest.raises(ValueError, match=r"Normal has events of shape \(2,\)"):
        taut.Normal(jnp.zeros(2), jnp.zeros(3))
    with pytest.raises(TypeError, match=r"expected a shape such as `\(3,\)`.*got 3"):
        taut.StandardNormal(3)
    with pytest.raises(ValueError, match=r"logits of shape \(n,\); got \(2, 3\)"):
        taut.Categorical(jnp.zeros((2, 3)))


def test_a_stack_of_densities_is_not_a_density():
    stack = jax.vmap(taut.Normal)(jnp.zeros((3, 2)), jnp.zeros((3, 2)))
    for use in (
        lambda: stack.log_prob(jr.key(0), jnp.zeros((3, 2))),
        lambda: stack.sample(jr.key(0)),
    ):
        with pytest.raises(ValueError, match="use `jax.vmap`"):
            use()
    scores = jax.vmap(lambda q, x: q.log_density(x))(stack, jnp.zeros((3, 2)))
    assert scores.shape == (3,)


class Vector(taut.AbstractExact):
    """Forgets to sum over the event."""

    reparameterised = True

    def draw(self, key):
        return jr.normal(key, (2,))

    def log_density(self, x):
        return -(x**2)


class Scores(taut.AbstractTarget):
    """Returns whatever it was given."""

    value: jax.Array
    exact = True

    def log_prob(self, key, x):
        return self.value


def test_log_densities_that_are_no_real_number():
    message = (
        r"Vector.log_density must return one real number; got float64 of shape \(2,\)"
    )
    with pytest.raises(ValueError, match=message + ".*Sum over the event"):
        Vector().log_prob(jr.key(0), jnp.zeros(2))
    with pytest.raises(ValueError, match="The energy must return one real number"):
        taut.Tilted(normal(), lambda z: z).log_prob(jr.key(0), jnp.zeros(2))
    importance = taut.Importance(normal(), 2)
    walk = taut.Annealed(normal(), taut.RandomWalk(0.1), [0.5, 1.0])
    for value in (jnp.zeros(2), jnp.zeros((), int), jnp.zeros((), complex)):
        with pytest.raises(ValueError, match="Scores.log_prob must return one real"):
            eqx.filter_eval_shape(importance.run, jr.key(0), Scores(value))
        with pytest.raises(ValueError, match="Scores.log_prob must return one real"):
            eqx.filter_eval_shape(walk.run, jr.key(0), Scores(value))


def test_a_given_log_target_that_is_no_number():
    for sampler in (
        taut.Importance(normal(), 3),
        taut.Chained(normal(), taut.Markov(lambda z: normal()), 2),
        taut.MultipleImportance([normal(), normal()]),
        taut.Refined(normal(), 0.1, 1),
        taut.Annealed(normal(), taut.RandomWalk(0.1), [0.5, 1.0]),
        taut.SMC(normal(), taut.RandomWalk(0.1), [0.5, 1.0], 2),
    ):
        given = jr.key(0), target(), jnp.zeros(2), jnp.zeros(3)
        with pytest.raises(ValueError, match="The target must return one real number"):
            eqx.filter_eval_shape(sampler.run_conditional, *given)


@pytest.mark.parametrize("num", [0, -1, 2.0, None])
def test_too_few_particles(num):
    message = f"must be an integer of at least 1; got {num}"
    with pytest.raises(ValueError, match=message):
        taut.Importance(normal(), num)
    with pytest.raises(ValueError, match=message):
        taut.Averaged(normal(), num)
    with pytest.raises(ValueError, match=message):
        taut.reparam(jr.key(0), target(), normal(), num)


@pytest.mark.parametrize("chunk", [0, -3, 1.5])
def test_too_small_chunks(chunk):
    message = f"chunk must be an integer of at least 1; got {chunk}"
    with pytest.raises(ValueError, match=message):
        taut.Importance(normal(), 2, chunk=chunk)
    with pytest.raises(ValueError, match=message):
        taut.Averaged(estimated(), 2, chunk=chunk)


def test_untyped_keys():
    legacy = jr.PRNGKey(0)
    message = "Expected a typed key, as `jax.random.key.*wrap_key_data"
    model = taut.Joint(normal(), lambda z: taut.Normal(z, jnp.zeros(2)))
    for use in (
        lambda: normal().sample(legacy),
        lambda: model.sample(legacy),
        lambda: model.log_prob(legacy, (jnp.zeros(2), jnp.zeros(2))),
        lambda: estimated().log_prob(legacy, jnp.zeros(2)),
        lambda: taut.Averaged(estimated(), 2).log_prob(legacy, jnp.zeros(2)),
        lambda: taut.Importance(normal(), 2).run(legacy, target()),
        lambda: taut.Importance(normal(), 2).run(3, target()),
    ):
        with pytest.raises(TypeError, match=message):
            use()


def test_many_keys_at_once():
    with pytest.raises(ValueError, match=r"Expected one key; got .* shape \(4,\)"):
        normal().sample(jr.split(jr.key(0), 4))


@pytest.mark.parametrize(
    "draw", [taut.stl, taut.dreg, taut.vimco, taut.reinforce, taut.reinforce_loo]
)
def test_a_proposal_without_density(draw):
    message = f"`{draw.__name__}` .* exact; Marginal is estimated. Use `reparam`"
    with pytest.raises(TypeError, match=message):
        run(draw, estimated())


def coin():
    return taut.Bernoulli(jnp.zeros(2))


@pytest.mark.parametrize("draw", [taut.stl, taut.dreg])
def test_no_path_through_a_coin(draw):
    message = f"`{draw.__name__}` differentiates through the draws, which Bernoulli"
    with pytest.raises(TypeError, match=message + " does not allow. Use `vimco`"):
        run(draw, coin())


@pytest.mark.parametrize("draw", [taut.reparam, taut.sir])
def test_a_gradient_that_would_be_wrong(draw):
    value = eqx.filter_jit(run)(draw, coin()).log_z
    assert jnp.isfinite(value)
    slope = eqx.filter_grad(lambda q: run(draw, q).log_z)
    with pytest.raises(TypeError, match="Expected a reparameterised proposal.*vimco"):
        eqx.filter_eval_shape(slope, coin())


@pytest.mark.parametrize("draw", [taut.vimco, taut.reinforce_loo])
def test_no_others_for_a_baseline(draw):
    with pytest.raises(ValueError, match="must be an integer of at least 2; got 1"):
        run(draw, normal(), num=1)


def test_the_contract_needs_an_exact_reference():
    with pytest.raises(TypeError, match="Expected an exact reference.*got Marginal"):
        check_density(normal(), key=jr.key(0), reference=estimated())
    with pytest.raises(ValueError, match=r"events of shape \(2,\); got \(3,\)"):
        check_density(normal(), key=jr.key(0), reference=normal(3))
    with pytest.raises(ValueError, match="num must be an integer of at least 1000"):
        check_density(normal(), key=jr.key(0), reference=normal(), num=10)


def test_the_contract_needs_estimates_with_their_draws():
    with pytest.raises(
        TypeError, match="exact target; Tilted is estimated.*makes both"
    ):
        check_sampler(
            taut.Importance(normal(), 2),
            taut.Tilted(estimated(), jnp.sum),
            key=jr.key(0),
            posterior=normal(),
            log_z=0.0,
        )
