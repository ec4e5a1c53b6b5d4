"""The leaves, the combinators and importance sampling."""

import equinox as eqx
import jax.numpy as jnp

import taut

from . import problems as p
from .registry import DensityCase, SamplerCase, density_case, sampler_case, thorough


@density_case
def normal():
    q = taut.Normal(jnp.array([0.3, -0.2]), jnp.array([-0.2, 0.1]))
    return DensityCase(q, p.wide_normal(), q.log_density)


@density_case
def standard_normal():
    q = taut.StandardNormal((2,))
    return DensityCase(
        q, p.wide_normal(), lambda x: -0.5 * jnp.sum(x**2) - jnp.log(2 * jnp.pi)
    )


@density_case
def bernoulli():
    logits = jnp.array([0.5, -1.0, 0.0])
    probs = 1 / (1 + jnp.exp(-logits))
    known = lambda x: jnp.sum(jnp.log(jnp.where(x > 0.5, probs, 1 - probs)))
    return DensityCase(taut.Bernoulli(logits), taut.Bernoulli(jnp.zeros(3)), known)


@density_case
def categorical():
    q = p.finite_proposal()
    weights = jnp.exp(q.logits)
    known = lambda x: jnp.log(weights[x] / jnp.sum(weights))
    return DensityCase(q, p.uniform_states(), known)


class Pair(eqx.Module):
    """A wide reference for the pair of the linear-Gaussian model."""

    def __call__(self, z):
        return taut.Normal(z, jnp.full_like(z, jnp.log(0.65)))


def wide_pair():
    return taut.Joint(p.wide_normal(scale=1.2), Pair())


@density_case
def joint():
    return DensityCase(p.gaussian_joint(), wide_pair())


@density_case
@thorough
def joint_of_estimates():
    """A model whose prior is only estimated."""
    base = taut.Joint(p.other_proposal(), p.uniform_rows())
    return DensityCase(taut.Joint(induced().density, p.finite_rows()), base)


@density_case
def induced():
    return DensityCase(
        taut.Induced(p.finite_target(), taut.Importance(p.other_proposal(), 3)),
        p.uniform_states(),
    )


@density_case
@thorough
def induced_of_induced():
    inner = induced().density
    target = taut.Tilted(inner, p.Table(jnp.array([-0.5, 0.5, 0.3, -0.4])))
    outer = taut.Induced(target, taut.Importance(p.other_proposal(), 2))
    return DensityCase(outer, p.uniform_states())


@density_case
@thorough
def induced_gaussian():
    """A better guide than its proposal, as a density of its own."""
    density = taut.Induced(p.gaussian_target(), taut.Importance(p.gaussian_guide(), 3))
    posterior = p.gaussian_posterior()
    return DensityCase(density, taut.Normal(posterior.loc, posterior.log_scale + 0.3))


@density_case
def marginal():
    """A VAE whose density is known."""
    density = taut.Marginal(p.gaussian_joint(), taut.Amortized(p.LinearGuide(), 3))
    return DensityCase(density, p.wide_normal(), p.gaussian_log_z)


@density_case
@thorough
def marginal_of_induced():
    """A VAE with an estimated prior."""
    joint = taut.Joint(induced().density, p.finite_rows())
    guide = lambda x: taut.Importance(p.other_proposal(), 2)
    return DensityCase(taut.Marginal(joint, guide), p.uniform_states())


@density_case
def averaged():
    """IWAE, by averaging a VAE."""
    vae = taut.Marginal(p.gaussian_joint(), taut.Amortized(p.LinearGuide()))
    return DensityCase(taut.Averaged(vae, 3), p.wide_normal(), p.gaussian_log_z)


@density_case
@thorough
def averaged_induced():
    return DensityCase(taut.Averaged(induced().density, 3), p.uniform_states())


def semi_implicit():
    """A posterior as a mixture over its own latent: exact by convolution."""
    posterior = p.gaussian_posterior()
    variance = jnp.exp(2 * posterior.log_scale)
    mixing = taut.Normal(posterior.loc, 0.5 * jnp.log(0.6 * variance))
    spread = 0.5 * jnp.log(0.6 * variance)
    joint = taut.Joint(mixing, lambda u: taut.Normal(u, spread))
    back = lambda z: taut.Importance(
        taut.Normal((posterior.loc + z) / 2 + 0.05, 0.5 * jnp.log(0.35 * variance)), 2
    )
    return taut.Marginal(joint, back)


@density_case
@thorough
def sivi():
    posterior = p.gaussian_posterior()
    variance = jnp.exp(2 * posterior.log_scale)
    known = taut.Normal(posterior.loc, 0.5 * jnp.log(1.2 * variance))
    wide = taut.Normal(posterior.loc, 0.5 * jnp.log(3 * variance))
    return DensityCase(semi_implicit(), wide, known.log_density)


def gaussian_case(sampler):
    return SamplerCase(
        sampler, p.gaussian_target(), p.gaussian_posterior(), p.gaussian_log_z()
    )


@sampler_case
@thorough
def elbo():
    return gaussian_case(taut.Importance(p.gaussian_guide()))


@sampler_case
def importance():
    return gaussian_case(taut.Importance(p.gaussian_guide(), 5))


@sampler_case
@thorough
def importance_in_chunks():
    return gaussian_case(taut.Importance(p.gaussian_guide(), 5, chunk=2))


@sampler_case
@thorough
def importance_dreg():
    return gaussian_case(taut.Importance(p.gaussian_guide(), 3, draw=taut.dreg))


@sampler_case
@thorough
def importance_sir():
    return gaussian_case(taut.Importance(p.gaussian_guide(), 3, draw=taut.sir))


@sampler_case
@thorough
def importance_vimco():
    target = p.finite_target()
    logits = p.finite_logits(target)
    log_z = jnp.log(jnp.sum(jnp.exp(logits)))
    sampler = taut.Importance(p.other_proposal(), 3, draw=taut.vimco)
    return SamplerCase(sampler, target, taut.Categorical(logits), log_z)


@sampler_case
def importance_sivi():
    """A semi-implicit guide inside IWAE."""
    return gaussian_case(taut.Importance(semi_implicit(), 3))


@sampler_case
@thorough
def importance_estimated():
    """A model with an estimated prior, at an observation it made itself."""
    joint = taut.Joint(induced().density, p.finite_rows())
    x = jnp.array(1)
    prior = p.enumerate_induced(p.finite_target(), p.other_proposal(), 3)
    log_likelihood = p.finite_rows().log_density_at(x)
    return SamplerCase(
        taut.Importance(p.other_proposal(), 2),
        taut.Conditioned(joint, x),
        p.Rejection(joint, x, jnp.max(log_likelihood)),
        jnp.log(jnp.sum(prior * jnp.exp(log_likelihood))),
    )
