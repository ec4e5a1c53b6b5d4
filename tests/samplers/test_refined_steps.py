"""The steps of a refinement: momentum, clips, a closed form, and steps too far."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from refined_fixture import values
from scalar_gaussian import start, target

import taut


def test_momentum_and_clip():
    """Against a loop by hand, with the noise inverted from the draws."""
    sampler = taut.Refined(
        start(), jnp.array([0.3, 0.2]), 2, momentum=0.5, clip=taut.Clip(1.5)
    )
    particles = values(sampler, 6, 1)
    q, velocity = start(), (jnp.zeros(1), jnp.zeros(1))
    for i, size in enumerate((0.3, 0.2)):
        noise = q.to_noise(particles.value[0, i])

        def weight(parameters, noise=noise):
            q = taut.Normal(*parameters)
            z = q.from_noise(noise)
            return target().log_prob(jr.key(0), z) - q.log_density(z)

        slope = jax.grad(weight)((q.loc, q.log_scale))
        clip = lambda g: g * jnp.minimum(1.0, 1.5 / jnp.linalg.norm(g))
        velocity = tuple(0.5 * v + clip(g) for v, g in zip(velocity, slope))
        q = taut.Normal(q.loc + size * velocity[0], q.log_scale + size * velocity[1])
    last = particles.diagnostics.proposal
    assert jnp.allclose(last.loc[0, 2], q.loc, atol=1e-10)
    assert jnp.allclose(last.log_scale[0, 2], q.log_scale, atol=1e-10)


def test_diverging_steps_are_counted():
    particles = values(taut.Refined(start(), 1e308, 3))
    assert particles.diagnostics.rejected.sum() >= 1
    assert not particles.diagnostics.rejected[0, -1]
    assert jnp.all(jnp.isfinite(particles.diagnostics.proposal.loc))


@pytest.mark.parametrize("clip", [None, taut.Clip(7.0)])
@pytest.mark.parametrize("size", [1e3, 1e6])
def test_steps_to_scales_beyond_the_type_are_refused(size, clip):
    """Log scales of a thousand are finite numbers, but no weight would be."""
    particles = values(taut.Refined(start(), size, 6, clip=clip, momentum=0.5))
    assert particles.diagnostics.rejected.sum() >= 1
    assert not jnp.any(jnp.isnan(particles.log_weight))


def test_clip_of_a_batch():
    """The norm is the batch's; and then there is no upper end."""
    clip = taut.ClipBatch(1.0, "batch")
    slopes = jnp.array([[3.0], [4.0]])
    short = jax.vmap(clip, axis_name="batch")
    assert jnp.allclose(short(slopes), slopes / 5)
    # One slope's change shortens the other's.
    turn = jax.jvp(short, (slopes,), (jnp.array([[1.0], [0.0]]),))[1]
    assert jnp.allclose(turn, jnp.array([[16.0], [-12.0]]) / 125)
    sampler = taut.Refined(start(), 0.1, 2, clip=clip)
    with pytest.raises(TypeError, match="depend on the other examples"):
        sampler.run_conditional(jr.key(0), target(), jnp.ones(1), jnp.array(0.0))


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_clip_of_any_size(size, float32):
    """Lengths whose squares are beyond the type are shortened all the same; no slope
    stays none, and derivatives are finite.
    """
    slope = size * jnp.array([3.0, 4.0])
    clipped = lambda g: taut.Clip(0.5 * size)(g)
    assert jnp.allclose(clipped(slope) / size, jnp.array([0.3, 0.4]))
    assert jnp.array_equal(taut.Clip(6.0 * size)(slope), slope)
    assert jnp.all(taut.Clip(0.0)(slope) == 0)
    assert jnp.all(clipped(0 * slope) == 0)
    # Across the slope a clipped one turns by 0.5 / 5; along it nothing changes.
    turn = jax.jvp(clipped, (slope,), (jnp.array([-4.0, 3.0]),))[1]
    assert jnp.allclose(turn, jnp.array([-0.4, 0.3]))
    along = jax.jvp(clipped, (slope,), (jnp.array([3.0, 4.0]),))[1]
    assert jnp.allclose(along, 0, atol=1e-6)


def test_steps_along_a_divergence_in_closed_form():
    """One step by hand; over many, the same on average with less noise; weights are
    those of the draws.
    """
    closed = taut.Refined(start(), 0.1, 1, divergence=taut.gaussian_divergence)
    plain = taut.Refined(start(), 0.1, 1)
    a, b = values(closed, 3, 20_000), values(plain, 3, 20_000)
    z = a.value[:, 0, 0]
    # KL(N(m, s^2) || N(0, 1)) falls by m for the location, s^2 - 1 for the log scale.
    slope = (1.5 - z) / 0.5
    by_hand = {
        "loc": 0.5 + 0.1 * (slope - 0.5),
        "log_scale": 0.1 * slope * (z - 0.5),
    }
    for name, known in by_hand.items():
        last, other = (getattr(p.diagnostics.proposal, name)[:, 1, 0] for p in (a, b))
        assert jnp.allclose(last, known, atol=1e-10)
        apart = np.asarray(last - other)
        assert abs(apart.mean()) < 4.5 * apart.std() / len(apart) ** 0.5
        assert jnp.std(last) < 0.95 * jnp.std(other)
    density = jax.jit(jax.vmap(jax.vmap(lambda q, z: q.log_density(z))))
    log_q = density(a.diagnostics.proposal, a.value)
    assert jnp.allclose(a.log_weight, a.log_target - log_q)
