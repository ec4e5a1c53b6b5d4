"""The papers, as compositions. Losses take `key` first, then models, and `x` last."""

from collections.abc import Callable
from typing import ClassVar, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, PyTree

from .core.checks import check_at_least, split
from .core.combine import Conditioned, Joint, Marginal
from .core.density import AbstractDensity
from .core.gradient import stop
from .core.kernel import AbstractKernel
from .densities.self_normalized import SelfNormalized
from .objectives import decoupled, wake
from .samplers.annealed import Annealed
from .samplers.clip import AbstractClip
from .samplers.hierarchical import ByBranch, Hierarchical
from .samplers.hierarchical_gradient import root_dreg, root_reparam
from .samplers.importance import Amortized, Companions, Importance
from .samplers.importance_gradient import Draw, detached, dreg, reparam
from .samplers.multiple import MultipleImportance
from .samplers.proposals import Correlated
from .samplers.refined import Refined
from .samplers.refined_gradient import decoupled as held_path, resampled, unrolled
from .samplers.weights import AbstractWeights, EqualWeights, FixedWeights, PowerWeights

X = TypeVar("X")
Z = TypeVar("Z")
R = TypeVar("R")
Guide = Callable[[X], AbstractDensity[Z]]
Loss = tuple[Float[Array, ""], PyTree]


def vae(joint: AbstractDensity[tuple[Z, X]], guide: Guide) -> Marginal[X, Z]:
    """Kingma & Welling (2014)."""
    return Marginal(joint, Amortized(guide))


def iwae(
    joint: AbstractDensity[tuple[Z, X]], guide: Guide, num: int, draw: Draw = reparam
) -> Marginal[X, Z]:
    """Burda et al. (2016); with `draw=dreg`, Tucker et al. (2019)."""
    return Marginal(joint, Amortized(guide, num, draw))


def iwae_dreg(joint, guide, num: int) -> Marginal:
    """Tucker et al. (2019): model and guide on one bound, at once."""
    return iwae(joint, guide, num, dreg)


def snis_vae(
    proposal: AbstractDensity[Z],
    energy: Callable[[Z], Float[Array, ""]],
    num: int,
    likelihood: Callable[[Z], AbstractDensity[X]],
    guide: Guide,
) -> Marginal[X, Z]:
    """Lawson et al. (2019): a VAE with a self-normalised prior."""
    return vae(Joint(SelfNormalized(proposal, energy, num), likelihood), guide)


class SemiImplicit(AbstractDensity[Z]):
    """SIVI (Yin & Zhou, 2018): `conditional` mixed over draws of `mixing`, estimated
    with `num` of them; one made the point. `mixing` is held once.
    """

    mixing: AbstractDensity
    conditional: Callable[[PyTree], AbstractDensity[Z]]
    num: int = eqx.field(static=True)
    exact: ClassVar[bool] = False

    def __check_init__(self):
        check_at_least("SemiImplicit: num", self.num, 1)

    @property
    def reparameterised(self):
        return Joint(self.mixing, self.conditional).reparameterised

    def _marginal(self):
        back = Importance(self.mixing, self.num)
        return Marginal(Joint(self.mixing, self.conditional), lambda z: back)

    def sample_and_log_prob(self, key):
        return self._marginal().sample_and_log_prob(key)

    def log_prob(self, key, x):
        return self._marginal().log_prob(key, x)


def iwhvi(
    mixing: AbstractDensity[R],
    conditional: Callable[[R], AbstractDensity[Z]],
    reverse: Callable[[Z], AbstractDensity[R]],
    num: int = 1,
) -> Marginal[Z, R]:
    """Sobolev & Vetrov (2019): a hierarchical guide with a learned reverse model; with
    one draw, the hierarchical variational model of Ranganath et al. (2016).
    """
    return Marginal(Joint(mixing, conditional), Amortized(reverse, num))


def h_iwae(
    root: AbstractDensity[R],
    branch: Callable[[R], AbstractDensity[Z]],
    reverse: Callable[[Z], AbstractDensity[R]] | ByBranch[Z, R],
    num: int,
    exponent: float = 0.0,
) -> Hierarchical[Z, R]:
    """Huang et al. (2019), doubly reparameterised where that form is known."""
    draw = root_dreg if exponent == 0 else root_reparam
    return Hierarchical(root, branch, reverse, num, PowerWeights(exponent), draw=draw)


def iwae_h(root, conditional, reverse, num: int) -> Importance:
    """IWAE (h) of Huang et al. (2019): one hierarchical proposal, independent draws."""
    return Importance(iwhvi(root, conditional, reverse), num)


def j_iwae(marginals, factor: Array, exponent: float = 0.0) -> MultipleImportance:
    """Huang et al. (2019): Gaussians with learned correlations between the draws."""
    return MultipleImportance(Correlated(marginals, factor), PowerWeights(exponent))


def iwae_with_companions(proposal, companion, num: int) -> Companions:
    """What Lawson et al. (2019) and Ding & Freedman (2020) left as future work."""
    return Companions(proposal, companion, num)


def svi(
    proposal: AbstractDensity[Z],
    step_size: Float[ArrayLike, "*steps"],
    steps: int,
    *,
    momentum: Float[ArrayLike, ""] = 0.0,
    clip: AbstractClip | None = None,
) -> Refined[Z]:
    """Hoffman et al. (2013), from an amortised start: the last proposal alone. Its one
    weight makes the resampled gradient exact, at the cost of one backward pass.
    """
    weights = FixedWeights((0.0,) * steps + (1.0,))
    rules = {"momentum": momentum, "clip": clip, "draw": resampled}
    return Refined(proposal, step_size, steps, weights, **rules)


def bsvi_loss(
    key: PRNGKeyArray,
    joint: AbstractDensity[tuple[Z, X]],
    guide: Guide,
    x: X,
    *,
    step_size: Float[ArrayLike, "*steps"],
    steps: int,
    weights: AbstractWeights = EqualWeights(),  # noqa: B008
    momentum: Float[ArrayLike, ""] = 0.5,
    clip: AbstractClip | None = None,
    beta: Float[ArrayLike, ""] | None = None,
    draw=held_path,
) -> Loss:
    """Shu et al. (2019): the model and `weights` on the buffered bound, the guide on
    its ELBO. `draw=resampled` is BSVI-SIR; `weights=FixedWeights((0, .., 1))`, SVI.
    """
    rules = {"momentum": momentum, "clip": clip, "beta": beta, "draw": draw}
    start = guide(x)
    refined = Refined(start, step_size, steps, weights, **rules)
    first = Refined(start, step_size, 0, beta=beta, draw=unrolled)
    bound, particles = decoupled(key, joint, refined, first, x)
    return -bound, {"bound": particles.log_z, "ess": particles.ess}


def aiwae_loss(
    key: PRNGKeyArray,
    joint: AbstractDensity[tuple[Z, X]],
    guide: Guide,
    kernel: AbstractKernel,
    betas: Float[ArrayLike, " T"],
    num: int,
    x: X,
) -> Loss:
    """Ding & Freedman (2020): the model on the posterior mean over annealed chains, the
    guide on its ELBO. `mh_hmc_betas` in place of `betas` is Hoffman (2017).
    """
    annealed = Annealed(stop(guide(x)), stop(kernel), betas, num)
    bound, particles = decoupled(key, joint, annealed, Importance(guide(x)), x)
    return -bound, {"bound": particles.log_z, "chains": particles.diagnostics}


def mh_hmc_betas(transitions: int) -> Float[Array, " T"]:
    """Every transition aims at the posterior itself (Hoffman, 2017)."""
    return jnp.ones(transitions)


def reweighted_wake_sleep_loss(
    key: PRNGKeyArray,
    joint: AbstractDensity[tuple[Z, X]],
    guide: Guide,
    num: int,
    x: X,
) -> Loss:
    """Bornschein & Bengio (2015), both wake phases: latents may be discrete."""
    rkey, wkey = split(key)
    q = guide(x)
    particles = Importance(q, num, detached).run(rkey, Conditioned(joint, x))
    bound = particles.log_z + wake(wkey, q, particles)
    return -bound, {"bound": particles.log_z, "ess": particles.ess}
