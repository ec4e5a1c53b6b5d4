"""A normalizing flow as the guide, by FlowJAX: where no Gaussian does."""

from dataclasses import dataclass

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ..core.density import AbstractTarget
from ..densities.exact import Exact


@dataclass(frozen=True)
class Flow:
    """Coupling layers (Dinh et al., 2017) over whitened coordinates, fitted to trusted
    draws by maximum likelihood; without any, to the target by the ELBO.
    """

    layers: int = 6
    width: int = 48
    steps: int = 1500  # of the ELBO, or at most as many epochs over draws / 10
    learning_rate: float = 2e-3

    def fit(
        self,
        key: PRNGKeyArray,
        target: AbstractTarget[Float[Array, " D"]],
        draws: Float[Array, "n D"] | None,
        dim: int,
    ) -> Exact:
        """The fitted flow."""
        from flowjax.distributions import StandardNormal
        from flowjax.flows import coupling_flow, masked_autoregressive_flow
        from flowjax.train import fit_to_data, fit_to_key_based_loss
        from flowjax.train.losses import ElboLoss

        make = coupling_flow if dim > 1 else masked_autoregressive_flow
        ikey, fkey = jr.split(key)
        flow = make(
            ikey,
            base_dist=StandardNormal((dim,)),
            flow_layers=self.layers,
            nn_width=self.width,
        )
        if draws is None:
            log_prob = lambda z: target.log_prob(jr.key(0), z)
            loss = ElboLoss(log_prob, num_samples=64)
            law, _ = fit_to_key_based_loss(
                fkey,
                flow,
                loss_fn=loss,
                steps=self.steps,
                learning_rate=self.learning_rate,
                show_progress=False,
            )
            return Exact(law)
        law, _ = fit_to_data(
            fkey,
            flow,
            jnp.asarray(draws),
            learning_rate=self.learning_rate,
            max_epochs=self.steps // 10,
            max_patience=15,
            batch_size=min(256, len(draws) // 4),
            val_prop=0.2,
            show_progress=False,
        )
        return Exact(law)


def available() -> bool:
    """Whether FlowJAX is installed."""
    import importlib.util

    return importlib.util.find_spec("flowjax") is not None
