"""Log joints of anyone's parameters, as densities over one real vector."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ..core.density import AbstractTarget

Params: TypeAlias = PyTree


class LogJoint(AbstractTarget[Float[Array, " D"]]):
    """`log_joint(params)` over unconstrained vectors, by change of variables.

    With `params = T(u)`, the target is `log_joint(T(u)) + log |det dT/du|`: its
    integral over all real `u` is that of `exp(log_joint)` over the constrained
    parameters. `example` fixes names, shapes and types; its numbers are a start.
    """

    function: Callable[[Params], Float[Array, ""]]
    example: Params
    transforms: PyTree  # NumPyro's bijections, one per leaf of `example`
    size: int = eqx.field(static=True)
    unravel: Callable[[Array], Params] = eqx.field(static=True)
    exact: ClassVar[bool] = True

    def __init__(
        self,
        log_joint: Callable[[Params], Float[Array, ""]],
        example: Params,
        constraints: Mapping[str, Any] | PyTree | None = None,
    ):
        from numpyro.distributions import biject_to

        self.function = log_joint
        self.example = jtu.tree_map_with_path(_checked_leaf, example)
        if not jtu.tree_leaves(self.example):
            raise ValueError("Expected an example with at least one parameter.")
        bijections = [biject_to(c) for c in _constraints(constraints, self.example)]
        leaves, shape = jtu.tree_flatten(self.example)
        self.transforms = bijections
        free = [
            jnp.zeros(bijection.inverse_shape(leaf.shape), leaf.dtype)
            for bijection, leaf in zip(bijections, leaves)
        ]
        flat, self.unravel = ravel_pytree(jtu.tree_unflatten(shape, free))
        self.size = flat.shape[0]
        _check_returns(log_joint, self.example)

    @property
    def dtype(self) -> np.dtype:
        """Of the vectors, and so of all numbers that follow."""
        return np.dtype(jnp.result_type(*jtu.tree_leaves(self.example)))

    def constrain(self, u: Float[Array, " D"]) -> Params:
        """Parameters from one vector."""
        return self._forward(u)[0]

    def unconstrain(self, params: Params) -> Float[Array, " D"]:
        """One vector from parameters; not finite where they break a constraint."""
        leaves, shape = jtu.tree_flatten(params)
        free = [t.inv(leaf) for t, leaf in zip(self.transforms, leaves)]
        back = [t(u) for t, u in zip(self.transforms, free)]
        # A bijection's inverse may be finite outside its range; its image tells.
        same = jnp.all(
            jnp.stack(
                [
                    jnp.all(jnp.isclose(a, b, rtol=1e-3, atol=1e-5))
                    for a, b in zip(back, leaves)
                ]
            )
        )
        flat = ravel_pytree(jtu.tree_unflatten(shape, free))[0]
        return jnp.where(same, flat, jnp.nan)

    def log_prob(self, key, x):
        del key
        params, log_det = self._forward(x)
        value = jnp.asarray(self.function(params))
        _check_value(value)
        return value.astype(x.dtype) + log_det

    def _forward(self, u):
        free, shape = jtu.tree_flatten(self.unravel(u))
        pairs = [(t, v, t(v)) for t, v in zip(self.transforms, free)]
        log_det = sum(jnp.sum(t.log_abs_det_jacobian(v, x)) for t, v, x in pairs)
        params = jtu.tree_unflatten(shape, [x for _, _, x in pairs])
        return params, jnp.asarray(log_det).astype(u.dtype)


class Whitened(AbstractTarget[Float[Array, " D"]]):
    """`target` at `loc + scale_tril @ u`, with the log-Jacobian: the same constant.

    In these coordinates a good fit makes the target look like a standard normal.
    """

    target: AbstractTarget[Float[Array, " D"]]
    loc: Float[Array, " D"]
    scale_tril: Float[Array, "D D"]

    @property
    def exact(self):
        return self.target.exact

    def colour(self, u: Float[Array, " D"]) -> Float[Array, " D"]:
        return self.loc + self.scale_tril @ u

    def whiten(self, x: Float[Array, " D"]) -> Float[Array, " D"]:
        solve = jax.scipy.linalg.solve_triangular
        return solve(self.scale_tril, x - self.loc, lower=True)

    def log_prob(self, key, x):
        log_det = jnp.sum(jnp.log(jnp.abs(jnp.diagonal(self.scale_tril))))
        return self.target.log_prob(key, self.colour(x)) + log_det


def black_box(function: Callable[[Params], float]) -> Callable[[Params], Array]:
    """A log joint that JAX cannot look into (NumPy, PyTorch, a simulator).

    Parameters arrive as NumPy arrays. There are no gradients: `sandwich` is told so
    by `gradient_free=True`, and keeps to methods that need none.
    """

    def on_host(params):
        value = np.asarray(function(jtu.tree_map(np.asarray, params)))
        _check_value(value)
        return value

    def log_joint(params):
        dtype = jnp.result_type(*jtu.tree_leaves(params))
        shape = jax.ShapeDtypeStruct((), dtype)
        call = lambda p: np.asarray(on_host(p), dtype)
        return jax.pure_callback(call, shape, params, vmap_method="sequential")

    return log_joint


def _checked_leaf(path, leaf) -> Array:
    name = jtu.keystr(path) or "the example"
    array = jnp.asarray(leaf)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"Expected real parameters; {name} is {array.dtype}. Sum discrete "
            "parameters out of the log joint, split complex ones into two reals, and "
            "write floats (`0.0`, not `0`) in `example`."
        )
    return array


def _constraints(constraints, example) -> list:
    """One constraint per leaf; `None`, and a missing name, mean real."""
    from numpyro.distributions import constraints as known

    if constraints is None:
        return [known.real] * len(jtu.tree_leaves(example))
    if isinstance(constraints, Mapping) and isinstance(example, Mapping):
        unknown = sorted(set(constraints) - set(example))
        if unknown:
            raise ValueError(
                f"Constraints name {unknown}, which `example` does not have; it has "
                f"{sorted(example)}."
            )
        constraints = {name: constraints.get(name) for name in example}
    is_constraint = lambda c: c is None or isinstance(c, known.Constraint)
    fill = lambda c, part: jtu.tree_map(lambda _: known.real if c is None else c, part)
    filled = jtu.tree_map(fill, constraints, example, is_leaf=is_constraint)
    return jtu.tree_leaves(filled, is_leaf=is_constraint)


def _check_returns(log_joint, example) -> None:
    """Trace once, so that wrong shapes and types are named before anything runs."""
    out = eqx.filter_eval_shape(lambda params: log_joint(params), example)
    leaves = jtu.tree_leaves(out)
    if len(leaves) != 1 or isinstance(out, list | tuple | dict):
        raise TypeError(f"The log joint must return one real number; got {out!r}.")
    _check_value(leaves[0])


def _check_value(value) -> None:
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise TypeError(
            "The log joint returned a complex number; it must be the real log of a "
            "density. Take logs of positive numbers only."
        )
    if jnp.shape(value) != ():
        raise ValueError(
            "The log joint must return one real number; got an array of shape "
            f"{jnp.shape(value)}. Sum the log densities over data and parameters."
        )
