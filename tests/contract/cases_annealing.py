"""Annealed chains, their kernels, and sequential Monte Carlo."""

import jax.numpy as jnp

import taut
from taut import schedules

from . import problems as p
from .registry import SamplerCase, sampler_case


def gaussian_case(sampler):
    return SamplerCase(
        sampler, p.gaussian_target(), p.gaussian_posterior(), p.gaussian_log_z()
    )


def annealed(kernel, betas, num=2, **kwargs):
    return gaussian_case(
        taut.Annealed(p.gaussian_guide(), kernel, betas, num, **kwargs)
    )


@sampler_case
def annealed_hmc():
    return annealed(taut.HMC(jnp.array([0.4, 0.3]), 2), jnp.array([0.4, 1.0]))


@sampler_case
def annealed_hmc_alone():
    return annealed(taut.HMC(0.4, 2), schedules.linear(2), 1, last_move=False)


@sampler_case
def annealed_mala():
    return annealed(taut.MALA(0.4), schedules.sigmoid(2), last_move=False)


@sampler_case
def annealed_random_walk():
    return annealed(taut.RandomWalk(0.5), schedules.linear(2))


@sampler_case
def annealed_langevin():
    return annealed(taut.Langevin(0.3), schedules.linear(2))


@sampler_case
def metropolis_at_the_target():
    """MH-HMC: everything at the target."""
    return annealed(taut.HMC(0.4, 2), schedules.constant(2))
