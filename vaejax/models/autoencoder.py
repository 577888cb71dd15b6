"""The deterministic autoencoder."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from vaejax import heads
from vaejax.distributions import Flat, Known
from vaejax.heads import Head
from vaejax.models.headed import Headed, as_context_dim, as_latent_dim, as_likelihood, as_network, coder_weights
from vaejax.networks import Network
from vaejax.recipes import field, static
from vaejax.types import Array, Context, Key, Params

__all__ = ["Autoencoder"]


def _as_likelihood(head: Head | None) -> Head:
    return as_likelihood(head or heads.normal(1.0))


@static
class Autoencoder(Headed):
    """A deterministic autoencoder, z = encoder(x): the baseline without a distribution over z.

    Trained by `fit` it maximises log p(x | encoder(x)), a reconstruction error and no bound on log p(x):
    its `kl` is 0, and `sample` and `importance_bound` raise. The prior is a measure of density one everywhere.

    Args:
      encoder: network x -> z.
      decoder: network z -> parameters of the likelihood.
      latent_dim: length of z.
      likelihood: a head (default: `heads.normal(1.0)`, the squared error).
      context_dim: length of the context; 0 for none.
      objective: default of `vaejax.fit`.

    >>> import jax, vaejax as vj
    >>> model = vj.zoo.autoencoder((8, 8, 1), latent_dim=2)
    >>> vj.reconstruct(model, model.init(jax.random.key(0)), jax.random.key(1), jnp.zeros((8, 8, 1))).shape
    (8, 8, 1)
    """

    encoder: Network = field(converter=as_network("encoder"))
    decoder: Network = field(converter=as_network("decoder"))
    latent_dim: int = field(converter=as_latent_dim)
    likelihood_head: Head = field(alias="likelihood", default=None, converter=_as_likelihood)
    context_dim: int = field(default=0, converter=as_context_dim)
    objective: Callable[..., Any] | None = None

    has_density = False

    @property
    def state_shape(self) -> tuple[int, ...]:
        return (self.latent_dim,)

    def weights(self, key: Key) -> Params:
        return coder_weights(self, self.encoder, heads.normal(1.0), self.latent_dim, key)

    def prior(self, params: Params, context: Context = None) -> Flat:
        return Flat()

    def posterior(self, params: Params, x: Array, context: Context = None) -> Known:
        return Known(self.encoder.apply(params["encoder"], x, *self.extra(context, x)), jnp.zeros(()))
