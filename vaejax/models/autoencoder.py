"""The deterministic autoencoder."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from vaejax import heads
from vaejax.distributions import Distribution, Drawn, Flat
from vaejax.heads import Head
from vaejax.models.coder import Coder, require_kind, set_fields
from vaejax.models.model import Params, require_at_least
from vaejax.networks import Network
from vaejax.recipes import static

__all__ = ["Autoencoder"]


@static
class Autoencoder(Coder):
    """A deterministic autoencoder, z = encoder(x): the baseline without a distribution over z.

    Trained by `fit` it maximises log p(x | encoder(x)), a reconstruction error and no bound on log p(x):
    its `kl` is 0, and `sample` and `importance_bound` raise.

    Args:
      encoder: network x -> z.
      decoder: network z -> parameters of the likelihood.
      latent_dim: length of z.
      likelihood: a head; `heads.normal(1.0)`, the squared error, unless told otherwise.
      context_dim: length of the context; 0 for none.
      objective: what `vaejax.fit` maximises unless told otherwise.

    >>> import jax, vaejax as vj
    >>> model = vj.zoo.autoencoder((8, 8, 1), latent_dim=2)
    >>> vj.reconstruct(model, model.init(jax.random.key(0)), jax.random.key(1), jnp.zeros((8, 8, 1))).shape
    (8, 8, 1)
    """

    encoder: Network
    decoder: Network
    latent_dim: int
    likelihood_head: Head = dataclasses.field(metadata={"argument": "likelihood"})
    context_dim: int
    objective: Any

    has_density = False

    def __init__(
        self,
        encoder: Network,
        decoder: Network,
        latent_dim: int,
        likelihood: Head | None = None,
        context_dim: int = 0,
        objective: Any = None,
    ):
        set_fields(
            self,
            encoder=require_kind("encoder", encoder, Network),
            decoder=require_kind("decoder", decoder, Network),
            latent_dim=latent_dim,
            likelihood_head=require_kind("likelihood", likelihood or heads.normal(1.0), Head),
            context_dim=context_dim,
            objective=objective,
        )
        require_at_least("latent_dim", latent_dim, 1)
        require_at_least("context_dim", context_dim, 0)

    def init(self, key: jax.Array) -> Params:
        """Draw the networks' weights."""
        return self.init_networks(key, heads.normal(1.0))

    def prior(self, params: Params, context: Any = None) -> Flat:
        """No density over z: a measure of density one everywhere."""
        return Flat()

    def likelihood(self, params: Params, h: jax.Array, context: Any = None) -> Distribution:
        """p(x | z, context)."""
        return self.decoded(params, h, context)

    def posterior(self, params: Params, x: jax.Array, context: Any = None) -> Drawn:
        """The code of x, a point."""
        return Drawn(self.encoded(params, x, context), jnp.zeros(()))
