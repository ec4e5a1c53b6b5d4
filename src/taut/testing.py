"""Hold a density or a sampler of your own to the contract, without knowing its density.

Both checks compare the two sides of one identity, for bounded `f` and `h` of an event
and of a positive number `r` whose mean is known to be one:

    E_make[f(x) r h(x, r)]  =  E_explain[f(x) h(x, r)].

| check           | make                       | explain                    | r       |
|-----------------|----------------------------|----------------------------|---------|
| `check_density` | `x ~ g`, `s = log_prob(x)` | `sample_and_log_prob`      | e^s / g |
| `check_sampler` | `run`, `x` by its weight   | `run_conditional`, exact x | Z_hat/Z |

`h = 1` is the law of lower ends, `h = 1/r` that of upper ends, and `h = 1/(r + c)`
with c = 0.1, 1, 10 the pairing, without which nothing built on top is right: bounded
on both sides, so its standard errors are honest whatever the tails of `r`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.flatten_util as jfu
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .brief import brief
from .core.checks import check_at_least, check_scalar, particle_keys, split
from .core.density import AbstractDensity, AbstractTarget
from .core.sampler import AbstractSampler

X = TypeVar("X")

_SIGMAS, _CHUNK = 5.0, 1000
_HINTS = {
    "lower": "Look at the operation that makes the bound from below: a wrong sign, a "
    "missing log K, a draw scored at the wrong place.",
    "upper": "Look at the operation that is given, or returns, an exact draw: its own "
    "weight must enter, once, with the number that came with it.",
    "pairing": "Each side may be unbiased by itself; the two are not views of one "
    "extended distribution (a number redrawn, or made exact on one side alone).",
    "known": "This is not the density you gave; or, of one that says it is `exact`, "
    "the value depends on the key.",
}


class ContractError(AssertionError):
    """A law of the contract does not hold; the message says which, and by how much."""


@dataclass(frozen=True)
class Law:
    """One law, at the test function that it fits worst."""

    name: str
    z: float  # standard errors away from equality
    error: float  # relative
    smallest: float  # relative error that five standard errors can see

    def __str__(self):
        return (
            f"{self.name:>18}: {self.z:+7.2f} standard errors ({self.error:+.2%}; the "
            f"smallest error that five of them can see is {self.smallest:.2%})"
        )


@dataclass(frozen=True)
class Report:
    """All laws that were tested; printed as a table."""

    subject: str
    num: int
    laws: tuple[Law, ...]

    @property
    def smallest(self) -> float:
        """The smallest relative error that every one of the laws would have shown."""
        return max(law.smallest for law in self.laws)

    def __str__(self):
        title = f"{self.subject}, {self.num} draws on each side:"
        return "\n".join([title, *map(str, self.laws)])


class _Side(NamedTuple):
    tests: Any  # bounded functions of the event; the first one is 1
    bump: Any  # a bounded function that keeps `1/r` integrable
    log_r: Any
    known: Any  # `log r` by the true density, NaN where it is unknown


class _Functions(eqx.Module):
    """Bounded test functions of an event, placed where the events are."""

    loc: Float[Array, " d"]
    scale: Float[Array, " d"]
    directions: Float[Array, "2 d"]

    def __init__(self, draw: Callable[[PRNGKeyArray], Any], key: PRNGKeyArray):
        dkey, wkey = split(key)
        events = jax.vmap(lambda key: _flat(draw(key)))(particle_keys(dkey, _CHUNK))
        self.loc, spread = jnp.mean(events, axis=0), jnp.std(events, axis=0)
        self.scale = jnp.where(spread > 0, spread, 1.0)
        self.directions = jr.normal(wkey, (2, self.loc.size)) / self.loc.size**0.5

    def __call__(self, x: Any) -> tuple[Float[Array, " f"], Float[Array, ""]]:
        standard = (_flat(x) - self.loc) / self.scale
        angles = self.directions @ standard
        tests = jnp.concatenate([jnp.ones(1), jnp.sin(angles), jnp.cos(angles)])
        return tests, jnp.exp(-0.5 * jnp.sum(standard**2))


def _flat(x: Any) -> Float[Array, " d"]:
    return jfu.ravel_pytree(jtu.tree_map(lambda a: jnp.asarray(a, float), x))[0]


def _compiled(sides: Callable, args: Any, key: PRNGKeyArray, num: int) -> Any:
    """Both sides, `num` times each, in chunks, so that memory stays small."""
    check_at_least("num", num, _CHUNK)
    dynamic, static = eqx.partition(args, eqx.is_array)

    @brief
    def compute(dynamic, key):
        fkey, *keys = split(key, 3)
        make, explain = sides(*eqx.combine(dynamic, static), fkey)
        many = lambda one, key: lax.map(one, particle_keys(key, num), batch_size=_CHUNK)
        return many(make, keys[0]), many(explain, keys[1])

    return jtu.tree_map(lambda a: np.asarray(a, float), compute(dynamic, key))


def _density_sides(density, reference, log_density, key):
    functions = _Functions(reference.sample, key)
    if log_density is None:
        unknown = lambda x: jnp.asarray(jnp.nan)
        log_density = partial(density.log_prob, key) if density.exact else unknown

    def side(x, log_p, log_g):
        log_p = check_scalar("The estimate of the log density", log_p)
        return _Side(*functions(x), log_p - log_g, log_density(x) - log_g)

    def make(key):
        xkey, skey = split(key)
        x, log_g = reference.sample_and_log_prob(xkey)
        return side(x, density.log_prob(skey, x), log_g)

    def explain(key):
        xkey, gkey = split(key)
        x, log_p = density.sample_and_log_prob(xkey)
        return side(x, log_p, reference.log_prob(gkey, x))

    return make, explain


def _sampler_sides(sampler, target, posterior, log_z, key):
    functions = _Functions(lambda key: posterior(key)[0], key)

    def side(tests, particles):
        log_r = check_scalar("`Particles.log_z`", particles.log_z) - log_z
        return _Side(tests, jnp.ones(()), log_r, jnp.nan)

    def make(key):
        particles = sampler.run(key, target)
        tests = jax.vmap(functions)(particles.value)[0]
        return side(particles.probs @ tests, particles)

    def explain(key):
        zkey, rkey = split(key)
        z, log_target = posterior(zkey)
        particles = sampler.run_conditional(rkey, target, z, log_target)
        return side(functions(z)[0], particles)

    return make, explain


def _law(name: str, make: Any, explain: Any) -> Law:
    """Compare two means, test function by test function."""
    difference = make.mean(0) - explain.mean(0)
    size = abs(explain.mean(0)[0])
    rounding = np.finfo(jnp.zeros(()).dtype).eps ** 0.75 * size
    spread = make.var(0) / len(make) + explain.var(0) / len(explain)
    error = np.sqrt(spread + rounding**2)
    z = difference / error
    worst = np.argmax(np.nan_to_num(abs(z), nan=np.inf))
    relative, visible = difference / size, _SIGMAS * error / size
    return Law(name, *(float(a[worst]) for a in (z, relative, visible)))


def _laws(subject: str, make: _Side, explain: _Side) -> list[Law]:
    # A weight of zero is sound where events were guessed, never where they were drawn.
    for name, bad in (
        ("log_prob (or run)", np.isnan(make.log_r) | np.isposinf(make.log_r)),
        ("sample_and_log_prob (or run_conditional)", ~np.isfinite(explain.log_r)),
    ):
        if bad.any():
            raise ContractError(
                f"{subject}: {name} gave {int(bad.sum())} unusable numbers of "
                f"{bad.size}; expected finite ones. Look for NaN; and the reference "
                "must cover every event that can be drawn."
            )
    f, g = make.tests, explain.tests
    with np.errstate(all="ignore"):
        r, s = np.exp(make.log_r)[:, None], np.exp(explain.log_r)[:, None]
        upper = f * make.bump[:, None], g * explain.bump[:, None] / s
        laws = [_law("lower", f * r, g), _law("upper", *upper)]
        for c in (0.1, 1.0, 10.0):
            laws.append(_law(f"pairing, c = {c:g}", f * r / (r + c), g / (s + c)))
        if not np.isnan(make.known).any():
            # Differences with mean zero, drawn together.
            off = f * (r - np.exp(make.known)[:, None])
            laws.append(_law("lower, as known", 1 + off, np.ones_like(off)))
            off = g * np.expm1(explain.known - explain.log_r)[:, None]
            laws.append(_law("upper, as known", 1 + off, np.ones_like(off)))
    return laws


def _check(tested: Any, sides: Callable, args: Any, key: Any, num: int) -> Report:
    subject = type(tested).__name__
    laws = _laws(subject, *_compiled(sides, args, key, num))
    report = Report(subject, num, tuple(laws))
    for law in report.laws:
        if abs(law.z) < _SIGMAS:
            continue
        kind = next(kind for kind in reversed(_HINTS) if kind in law.name)
        raise ContractError(
            f"{subject}: the {law.name} law broke by {law.z:+.1f} standard errors "
            f"(an error of {law.error:+.2%}). {_HINTS[kind]}\n{report}"
        )
    return report


def check_density(
    density: AbstractDensity[X],
    *,
    key: PRNGKeyArray,
    reference: AbstractDensity[X],
    log_density: Callable[[X], Float[Array, ""]] | None = None,
    num: int = 40_000,
) -> Report:
    """Test both directions of a density and their pairing; raise `ContractError`.

    `reference` is an exact density over the same events, wider than the density;
    `log_density`, where it is known, the true one.
    """
    if not reference.exact:
        raise TypeError(
            "Expected an exact reference, such as `Normal`, `Categorical` or a `Joint` "
            f"of them; got {type(reference).__name__}."
        )
    event = lambda p: eqx.filter_eval_shape(p.sample, jr.key(0))
    shapes = [jtu.tree_map(jnp.shape, event(p)) for p in (density, reference)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Expected a reference over events of shape {shapes[0]}; got {shapes[1]}."
        )
    args = (density, reference, log_density)
    return _check(density, _density_sides, args, key, num)


def check_sampler(
    sampler: AbstractSampler[X],
    target: AbstractTarget[X],
    *,
    key: PRNGKeyArray,
    posterior: AbstractDensity[X] | Callable[[PRNGKeyArray], tuple[X, Array]],
    log_z: Float[Array, ""] | float,
    num: int = 40_000,
) -> Report:
    """Test both directions of a sampler and their pairing; raise `ContractError`.

    `posterior` is the normalised target, as a density that can be sampled exactly, or,
    for a target that is only estimated, a function from a key to an exact draw and the
    estimate of the target that came with it. `log_z` is the true constant.
    """
    if isinstance(posterior, AbstractDensity):
        if not target.exact:
            raise TypeError(
                "Expected, with a posterior density, an exact target; "
                f"{type(target).__name__} is estimated, and an estimate is part of the "
                "draw. Pass a function from a key to `(z, log_target)` that makes both."
            )
        posterior = _Scored(posterior, target)
    args = (sampler, target, posterior, jnp.asarray(log_z, float))
    return _check(sampler, _sampler_sides, args, key, num)


class _Scored(eqx.Module):
    posterior: AbstractDensity
    target: AbstractTarget

    def __call__(self, key):
        zkey, tkey = split(key)
        z = self.posterior.sample(zkey)
        return z, self.target.log_prob(tkey, z)
