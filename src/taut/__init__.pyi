from . import data as data, evidence as evidence, nn as nn, testing as testing
from .core.combine import (
    Averaged as Averaged,
    Conditioned as Conditioned,
    Frozen as Frozen,
    Induced as Induced,
    Joint as Joint,
    Marginal as Marginal,
    Tilted as Tilted,
)
from .core.density import (
    AbstractDensity as AbstractDensity,
    AbstractExact as AbstractExact,
    AbstractReparameterised as AbstractReparameterised,
    AbstractTarget as AbstractTarget,
)
from .core.gradient import stop as stop
from .core.kernel import AbstractKernel as AbstractKernel
from .core.particles import Particles as Particles
from .core.sampler import AbstractSampler as AbstractSampler
from .densities.autoregressive import Autoregressive as Autoregressive
from .densities.discrete import Bernoulli as Bernoulli, Categorical as Categorical
from .densities.discretized_logistic import DiscretizedLogistic as DiscretizedLogistic
from .densities.divergence import gaussian_divergence as gaussian_divergence
from .densities.exact import Exact as Exact
from .densities.flow import FlowJAX as FlowJAX
from .densities.hamiltonian import (
    Hamiltonian as Hamiltonian,
    HamiltonianImportance as HamiltonianImportance,
)
from .densities.independent import Independent as Independent
from .densities.indexed_rejection import (
    IndexedTruncatedRejection as IndexedTruncatedRejection,
)
from .densities.log_variance import LogVarianceNormal as LogVarianceNormal
from .densities.normal import Normal as Normal, StandardNormal as StandardNormal
from .densities.resampled import Resampled as Resampled
from .densities.self_normalized import SelfNormalized as SelfNormalized
from .densities.state_space import StateSpace as StateSpace
from .densities.straight_through import straight_through as straight_through
from .densities.transformed import (
    AbstractScale as AbstractScale,
    Stretch as Stretch,
    Transformed as Transformed,
)
from .densities.truncated_rejection import TruncatedRejection as TruncatedRejection
from .kernels.blackjax import BlackJAX as BlackJAX
from .kernels.curved import Curved as Curved
from .kernels.hmc import HMC as HMC
from .kernels.langevin import Langevin as Langevin
from .kernels.mala import MALA as MALA
from .kernels.metropolis import RandomWalk as RandomWalk
from .samplers.adaptation import (
    adapt as adapt,
    tuned_step_sizes as tuned_step_sizes,
    warm_up as warm_up,
    with_step_sizes as with_step_sizes,
)
from .samplers.annealed import (
    Annealed as Annealed,
    harmonic_log_z as harmonic_log_z,
    reverse_chains as reverse_chains,
)
from .samplers.chained import Chained as Chained, Markov as Markov
from .samplers.clip import (
    AbstractClip as AbstractClip,
    Clip as Clip,
    ClipBatch as ClipBatch,
)
from .samplers.hierarchical import ByBranch as ByBranch, Hierarchical as Hierarchical
from .samplers.hierarchical_gradient import (
    root_dreg as root_dreg,
    root_dreg_published as root_dreg_published,
    root_reparam as root_reparam,
)
from .samplers.hierarchical_refined import HierarchicalRefined as HierarchicalRefined
from .samplers.importance import (
    Amortized as Amortized,
    Companions as Companions,
    Importance as Importance,
)
from .samplers.importance_gradient import (
    detached as detached,
    dreg as dreg,
    reinforce as reinforce,
    reinforce_loo as reinforce_loo,
    reparam as reparam,
    sir as sir,
    stl as stl,
    vimco as vimco,
)
from .samplers.multiple import MultipleImportance as MultipleImportance
from .samplers.particle_filter import ParticleFilter as ParticleFilter
from .samplers.proposals import (
    AbstractProposals as AbstractProposals,
    Antithetic as Antithetic,
    Correlated as Correlated,
    Separate as Separate,
)
from .samplers.refined import Refined as Refined
from .samplers.refined_gradient import (
    decoupled as decoupled,
    resampled as resampled,
    unrolled as unrolled,
)
from .samplers.resampling import (
    AbstractResampling as AbstractResampling,
    Multinomial as Multinomial,
    Systematic as Systematic,
)
from .samplers.smc import SMC as SMC
from .samplers.updates import (
    AbstractUpdate as AbstractUpdate,
    Ascent as Ascent,
    LearnedUpdate as LearnedUpdate,
    NaturalAscent as NaturalAscent,
)
from .samplers.weights import (
    AbstractWeights as AbstractWeights,
    EqualWeights as EqualWeights,
    FixedWeights as FixedWeights,
    GivenWeights as GivenWeights,
    NetworkWeights as NetworkWeights,
    PowerWeights as PowerWeights,
    SoftmaxWeights as SoftmaxWeights,
)
from .train import (
    CompiledLoop as CompiledLoop,
    Context as Context,
    HostLoop as HostLoop,
    Phase as Phase,
    Validation as Validation,
    fit as fit,
    only as only,
)
