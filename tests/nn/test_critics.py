"""Critics of pairs: what they compute."""

import jax.numpy as jnp

from taut.nn import critics

X, Y = jnp.array([0.3, -1.0]), jnp.array([[0.5], [2.0], [-0.7]])


def test_what_they_compute(getkey):
    one = critics.separable(2, 3, key=getkey())
    assert jnp.allclose(one(X, Y), jnp.sum(one.left(X) * one.right(Y)))
    two = critics.bilinear(2, 3, key=getkey())
    assert jnp.allclose(two(X, Y), jnp.einsum("i,ij,j", X, two.weight, Y[:, 0]))
    three = critics.free(2, 3, key=getkey())
    row = jnp.array([0.3, -1.0, 0.5, 2.0, -0.7])
    assert jnp.allclose(three(X, Y), three.net(row)[0])
    for critic in (one, two, three):
        assert jnp.shape(critic(X, Y)) == ()
