"""Mutual information of a joint density, from below and from above.

Every bound is unbatched: one pair `(x, y)` of the joint, and whatever else it needs.
Its expectation is the bound; `average` takes many. Of `I = E[log p(y|x) - log p(y)]`,

| bound              | from    | needs                 |                               |
|--------------------|---------|-----------------------|-----------------------------|
| `info_nce`         | below   | a critic              | van den Oord et al. (2018)    |
| `nwj`              | below   | a critic              | Nguyen et al. (2010)          |
| `barber_agakov`    | below   | a model of x given y  | Barber & Agakov (2003)        |
| `marginal_lower`   | below   | an exact likelihood   | `log p(y)` from above         |
| `marginal_upper`   | above   | a likelihood          | `log p(y)` from below         |
| `leave_one_out`    | above   | a likelihood          | Poole et al. (2019)           |
| `donsker_varadhan` | neither | a critic              | **not a bound**               |

`marginal_lower` and `marginal_upper` are the two sides of one `Marginal`. Importance
sampling from a guide, annealing, SMC: every sampler of this library is one of them;
from the prior they are InfoNCE with its best critic (at most log K), and leave-one-out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .core.checks import check_at_least, check_scalar, particle_keys, split
from .core.combine import Conditioned, Joint
from .core.density import AbstractDensity
from .core.numerics import log_mean_exp
from .core.sampler import AbstractSampler
from .densities.normal import Normal, StandardNormal
from .samplers.importance import Importance

X = TypeVar("X")
Y = TypeVar("Y")
Critic = Callable[[X, Y], Float[Array, ""]]


def info_nce(
    key: PRNGKeyArray, joint: Joint[X, Y], critic: Critic[X, Y], num: int
) -> Float[Array, ""]:
    """The critic at the pair, against itself and `num - 1` fresh `x`. Lower."""
    check_at_least("info_nce: num", num, 2)
    pkey, nkey = split(key)
    (x, y), _ = joint.sample_and_log_prob(pkey)
    first, others = _score(critic, x, y), _fresh(nkey, joint, critic, y, num - 1)
    return first - log_mean_exp(jnp.concatenate([first[None], others]))


def nwj(
    key: PRNGKeyArray, joint: Joint[X, Y], critic: Critic[X, Y], num: int = 1
) -> Float[Array, ""]:
    """`f(x, y) - E[exp(f(x', y) - 1)]`, with `num` fresh `x'`. Lower; its variance
    grows with the exponential of the information.
    """
    check_at_least("nwj: num", num, 1)
    pkey, nkey = split(key)
    (x, y), _ = joint.sample_and_log_prob(pkey)
    others = _fresh(nkey, joint, critic, y, num)
    return _score(critic, x, y) - jnp.exp(log_mean_exp(others) - 1)


def donsker_varadhan(
    key: PRNGKeyArray, joint: Joint[X, Y], critic: Critic[X, Y], num: int
) -> Float[Array, ""]:
    """`f(x, y) - log mean exp f(x', y)` with `num` fresh `x'`: **not a bound**.

    The log of a mean over few draws is too small on average, so that the value can lie
    above the information; only as `num` grows does it become a lower bound.
    """
    check_at_least("donsker_varadhan: num", num, 1)
    pkey, nkey = split(key)
    (x, y), _ = joint.sample_and_log_prob(pkey)
    return _score(critic, x, y) - log_mean_exp(_fresh(nkey, joint, critic, y, num))


def barber_agakov(
    key: PRNGKeyArray,
    joint: Joint[X, Y],
    reverse: Callable[[Y], AbstractDensity[X]],
) -> Float[Array, ""]:
    """`log r(x|y) - log p(x)`. Lower, for any density `r` and any prior: `r` is scored
    from below, and the prior keeps the number that came with the draw.
    """
    xkey, ykey, rkey = split(key, 3)
    x, log_prior = joint.prior.sample_and_log_prob(xkey)
    y = joint.likelihood(x).sample(ykey)
    return reverse(y).log_prob(rkey, x) - log_prior


def marginal_upper(
    key: PRNGKeyArray, joint: Joint[X, Y], sampler: Callable[[Y], AbstractSampler[X]]
) -> Float[Array, ""]:
    """`log p(y|x)` less a run at `y`, which is `log p(y)` from below. Upper."""
    xkey, ykey, rkey = split(key, 3)
    x = joint.prior.sample(xkey)
    y, log_likelihood = joint.likelihood(x).sample_and_log_prob(ykey)
    return log_likelihood - sampler(y).run(rkey, Conditioned(joint, y)).log_z


def marginal_lower(
    key: PRNGKeyArray, joint: Joint[X, Y], sampler: Callable[[Y], AbstractSampler[X]]
) -> Float[Array, ""]:
    """`log p(y|x)` less a run conditioned on `x`, which is `log p(y)` from above, since
    `x` is an exact draw given `y`. Lower.
    """
    xkey, ykey, rkey = split(key, 3)
    x, log_prior = joint.prior.sample_and_log_prob(xkey)
    likelihood = joint.likelihood(x)
    if not likelihood.exact:
        raise TypeError(
            "From below the likelihood has to be exact: the number that comes with a "
            f"draw of {type(likelihood).__name__} is too large on average. Use "
            "`marginal_upper`, or `barber_agakov`."
        )
    y, log_likelihood = likelihood.sample_and_log_prob(ykey)
    target, log_joint = Conditioned(joint, y), log_prior + log_likelihood
    ends = sampler(y).run_conditional(rkey, target, x, log_joint)
    return log_likelihood - ends.log_z


def leave_one_out(key: PRNGKeyArray, joint: Joint[X, Y], num: int) -> Float[Array, ""]:
    """`log p(y|x) - log mean p(y|x')` over `num` fresh `x'` of the prior. Upper."""
    return marginal_upper(key, joint, lambda y: Importance(joint.prior, num))


@dataclass(frozen=True)
class Average:
    """A mean over pairs, and its standard error."""

    value: float
    se: float


def average(
    key: PRNGKeyArray, bound: Callable[[PRNGKeyArray], Float[Array, ""]], num: int
) -> Average:
    """`num` independent values of `bound(key)`."""
    check_at_least("average: num", num, 2)
    many = eqx.filter_jit(jax.vmap(bound))
    values = np.asarray(many(particle_keys(key, num)), float)
    return Average(float(values.mean()), float(values.std(ddof=1) / np.sqrt(num)))


@dataclass(frozen=True)
class Information:
    """Mutual information in nats, from both sides; both ends are certified, since pairs
    are simulated.
    """

    lower: Average
    upper: Average

    @property
    def gap(self) -> float:
        return self.upper.value - self.lower.value


def sandwich(
    key: PRNGKeyArray,
    joint: Joint[X, Y],
    sampler: Callable[[Y], AbstractSampler[X]],
    num: int,
) -> Information:
    """Both sides of the marginal with one sampler, over `num` pairs each."""
    lkey, ukey = split(key)
    below = average(lkey, lambda key: marginal_lower(key, joint, sampler), num)
    above = average(ukey, lambda key: marginal_upper(key, joint, sampler), num)
    return Information(below, above)


class Rotation(eqx.Module):
    """x -> N(rho x, 1 - rho^2)."""

    rho: Float[Array, ""]

    def __call__(self, x: Float[Array, " d"]) -> Normal:
        half = 0.5 * jnp.log1p(-(self.rho**2))
        return Normal(self.rho * x, jnp.full_like(x, half))


def correlated_gaussians(rho: float, dim: int = 1) -> tuple[Joint[Array, Array], float]:
    """The usual task, and its information `-(d/2) log(1 - rho^2)`."""
    if not -1 < rho < 1:
        raise ValueError(f"Expected a correlation between -1 and 1; got {rho}.")
    joint = Joint(StandardNormal((dim,)), Rotation(jnp.asarray(rho, float)))
    return joint, float(-0.5 * dim * np.log1p(-(rho**2)))


def _score(critic, x, y):
    return check_scalar("The critic", critic(x, y))


def _fresh(key, joint, critic, y, num):
    """The critic at `num` draws of `x` that know nothing of `y`."""
    one = lambda key: _score(critic, joint.prior.sample(key), y)
    return jax.vmap(one)(particle_keys(key, num))
