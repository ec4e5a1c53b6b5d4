"""Ways to make a density, or a target, out of others."""

from collections.abc import Callable
from types import CellType
from typing import ClassVar, Generic, TypeVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .checks import check_at_least, check_chunk, check_scalar, particle_keys, split
from .density import AbstractDensity, AbstractTarget
from .numerics import log_mean_exp
from .particles import map_particles
from .sampler import AbstractSampler

Z = TypeVar("Z")
X = TypeVar("X")


class Joint(AbstractDensity[tuple[Z, X]]):
    """`prior(z) likelihood(z)(x)`, over the pair."""

    prior: AbstractDensity[Z]
    likelihood: Callable[[Z], AbstractDensity[X]]

    @property
    def exact(self):
        return self.prior.exact and self._conditional().exact

    @property
    def reparameterised(self):
        return self.prior.reparameterised and self._conditional().reparameterised

    def _conditional(self) -> AbstractDensity[X]:
        """The likelihood's type, without its numbers."""
        make = lambda key: self.likelihood(self.prior.sample(key))
        return eqx.filter_eval_shape(make, jr.key(0))

    def log_terms(self, key, zx) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Log prior and log likelihood."""
        zkey, xkey = split(key)
        z, x = zx
        return self.prior.log_prob(zkey, z), self.likelihood(z).log_prob(xkey, x)

    def sample_and_log_prob(self, key):
        refuse_frozen(self, "`sample_and_log_prob`")
        zkey, xkey = split(key)
        z, lz = self.prior.sample_and_log_prob(zkey)
        x, lx = self.likelihood(z).sample_and_log_prob(xkey)
        return (z, x), lz + lx

    def log_prob(self, key, x):
        return sum(self.log_terms(key, x))


class Conditioned(AbstractTarget[Z], Generic[Z, X]):
    """`joint(z, x)` as a function of `z`; its constant is the marginal at `x`."""

    joint: AbstractDensity[tuple[Z, X]]
    x: X

    @property
    def exact(self):
        return self.joint.exact

    def log_prob(self, key, x):
        return self.joint.log_prob(key, (x, self.x))


class Tilted(AbstractTarget[X]):
    """`base(x) exp(-energy(x))`."""

    base: AbstractDensity[X]
    energy: Callable[[X], Float[Array, ""]]

    @property
    def exact(self):
        return self.base.exact

    def log_prob(self, key, x):
        return self.base.log_prob(key, x) - check_scalar("The energy", self.energy(x))


class Frozen(AbstractTarget[X]):
    """`target`, always with this key: under `vmap` its draws are made once.

    A lower end may share randomness like this; an upper end may not, and refuses it.
    """

    target: AbstractTarget[X]
    key: PRNGKeyArray
    exact: ClassVar[bool] = False

    def log_prob(self, key, x):
        del key
        return self.target.log_prob(self.key, x)


# Where functions, partial ones and wrapped ones (`jax.jit`) hold things.
_HELD = "__closure__ cell_contents __defaults__ func args keywords __wrapped__"


def refuse_frozen(tree: PyTree, where: str, seen: frozenset = frozenset()) -> None:
    """Raise where a `Frozen` target would make an upper end wrong.

    It is looked for in `tree`, and in what functions there hold or have closed over.
    """
    is_frozen = lambda node: isinstance(node, Frozen)
    nodes = jtu.tree_leaves(tree, is_leaf=is_frozen)
    opened = [node for node in nodes if isinstance(node, Callable | CellType)]
    new = [node for node in opened if id(node) not in seen]
    held = [getattr(node, name, None) for node in new for name in _HELD.split()]
    if held:
        refuse_frozen(held, where, seen | {*map(id, new)})
    if any(map(is_frozen, nodes)):
        raise TypeError(
            f"{where} met a `Frozen` target: its estimates share draws, and an upper "
            "end could fall below the truth. Use the density that was frozen, unfrozen."
        )


class Induced(AbstractDensity[X]):
    """The law of the particle that `sampler`, aimed at `target`, selects."""

    target: AbstractTarget[X]
    sampler: AbstractSampler[X]
    exact: ClassVar[bool] = False
    reparameterised: ClassVar[bool] = False

    def sample_and_log_prob(self, key):
        refuse_frozen(self.target, "`Induced.sample_and_log_prob`")
        rkey, skey = split(key)
        particles = self.sampler.run(rkey, self.target)
        x, log_target = particles.select(skey)
        return x, log_target - particles.log_z

    def log_prob(self, key, x):
        tkey, rkey = split(key)
        log_target = self.target.log_prob(tkey, x)
        log_z = self.sampler.run_conditional(rkey, self.target, x, log_target).log_z
        # What has no weight is never selected, whatever the others weigh.
        return jnp.where(jnp.isneginf(log_target), -jnp.inf, log_target - log_z)


class Marginal(AbstractDensity[X], Generic[X, Z]):
    """`joint` with `z` summed out by `sampler(x)`."""

    joint: AbstractDensity[tuple[Z, X]]
    sampler: Callable[[X], AbstractSampler[Z]]
    exact: ClassVar[bool] = False

    @property
    def reparameterised(self):
        return self.joint.reparameterised

    def sample_and_log_prob(self, key):
        refuse_frozen(self.joint, "`Marginal.sample_and_log_prob`")
        jkey, rkey = split(key)
        (z, x), log_joint = self.joint.sample_and_log_prob(jkey)
        target = Conditioned(self.joint, x)
        return x, self.sampler(x).run_conditional(rkey, target, z, log_joint).log_z

    def log_prob(self, key, x):
        return self.sampler(x).run(key, Conditioned(self.joint, x)).log_z


class Averaged(AbstractDensity[X]):
    """`density`, estimated by an average of `num` estimates: tighter on both sides."""

    density: AbstractDensity[X]
    num: int = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_at_least("Averaged: num", self.num, 1)
        check_chunk("Averaged: chunk", self.chunk)

    @property
    def exact(self):
        return self.density.exact

    @property
    def reparameterised(self):
        return self.density.reparameterised

    def sample_and_log_prob(self, key):
        dkey, skey = split(key)
        x, first = self.density.sample_and_log_prob(dkey)
        scores = self._scores(skey, x, self.num - 1)
        return x, log_mean_exp(jnp.concatenate([first[None], scores]))

    def log_prob(self, key, x):
        return log_mean_exp(self._scores(key, x, self.num))

    def _scores(self, key, x, num):
        score = lambda key: self.density.log_prob(key, x)
        return map_particles(score, self.chunk)(particle_keys(key, num))
