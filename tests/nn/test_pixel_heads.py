"""Heads: clamped coins, one learned scale, and whole images that sum to one."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from taut.densities.autoregressive import Autoregressive
from taut.densities.discrete import Bernoulli
from taut.densities.discretized_logistic import DiscretizedLogistic
from taut.nn.pixel_heads import BernoulliHead, LogisticHead
from taut.nn.pixelcnn import PixelCNN
from taut.nn.pixelcnn_sampling import ancestral

SHAPE = (2, 2, 1)
HEADS = {
    2: BernoulliHead(Bernoulli),
    3: LogisticHead(functools.partial(DiscretizedLogistic, levels=3)),
}


def density(levels, z):
    make = functools.partial(
        PixelCNN, SHAPE, 2, kernels=(3, 3), channels=4, maps=2, unit=levels - 1.0
    )
    rng = np.random.default_rng(3)
    network = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape)),
        eqx.filter_eval_shape(make, key=jr.key(0)),
    )
    return Autoregressive(network, HEADS[levels], z, ancestral)


@pytest.mark.parametrize("levels", [2, 3])
def test_images_sum_to_one_and_samples_follow(getkey, levels):
    p = density(levels, jr.normal(getkey(), (2,)))
    images = jnp.array(list(itertools.product(range(levels), repeat=4)), float)
    key, num = getkey(), 20_000

    @eqx.filter_jit
    def run(p, images):
        truth = jnp.exp(jax.vmap(lambda x: p.log_prob(key, x))(images))
        xs, log_probs = jax.vmap(p.sample_and_log_prob)(jr.split(key, num))
        return truth, xs, log_probs

    truth, xs, log_probs = run(p, images.reshape(-1, *SHAPE))
    assert jnp.allclose(jnp.sum(truth), 1, atol=1e-10)
    codes = xs.reshape(num, 4) @ levels ** jnp.arange(3.0, -1, -1)
    assert jnp.allclose(jnp.exp(log_probs), truth[codes.astype(int)], atol=1e-12)
    share = jnp.mean(codes[:, None] == jnp.arange(levels**4), 0)
    scores = (share - truth) / jnp.sqrt(truth * (1 - truth) / num)
    # rare images are Poisson, not normal
    assert jnp.max(jnp.abs(jnp.where(num * truth > 20, scores, 0))) < 4.5
    # Pearson's sum has mean (images - 1) and about its double as variance
    assert jnp.sum(jnp.where(num * truth > 20, scores**2, 0)) < 1.8 * levels**4


def test_bernoulli_probabilities_are_clamped():
    logits = jnp.array([-100.0, 0.5, 100.0])
    held = HEADS[2](logits)
    assert jnp.allclose(
        jax.nn.sigmoid(held.logits), jnp.array([1e-5, jax.nn.sigmoid(0.5), 1 - 1e-5])
    )


def test_logistic_scale_is_learned_and_above_its_floor(getkey):
    head = LogisticHead(DiscretizedLogistic, scale=0.1)
    assert jnp.allclose(jnp.exp(head.log_scale), 0.1)
    leaves = jax.tree.leaves(eqx.filter(head, eqx.is_inexact_array))
    assert [leaf.shape for leaf in leaves] == [()]
    x = jnp.array([[0.0, 128.0, 255.0]])
    slope = eqx.filter_grad(lambda head: head(jnp.zeros((1, 3))).log_density(x))(head)
    assert slope.raw_scale != 0
    low = eqx.tree_at(lambda head: head.raw_scale, head, -1e4)
    assert jnp.allclose(jnp.exp(low.log_scale), 1e-3)
    with pytest.raises(ValueError, match="above its floor"):
        LogisticHead(DiscretizedLogistic, scale=1e-4)
