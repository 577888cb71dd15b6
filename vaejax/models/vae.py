"""Variational autoencoders with one layer of latents."""

import dataclasses
from typing import Any

import jax

from vaejax import heads, priors
from vaejax.distributions import Distribution
from vaejax.heads import Head
from vaejax.models.coder import Coder, require_kind, set_fields
from vaejax.models.model import Params, require_at_least
from vaejax.networks import Network
from vaejax.priors import Prior
from vaejax.recipes import static

__all__ = ["VAE", "posterior_head"]

POSTERIORS = {"diag": heads.normal("per_pixel", floor=1e-6), "full": heads.full_normal(floor=1e-6)}


def posterior_head(posterior: str | Head) -> Head:
    """The head that a name stands for; a head is left alone."""
    if isinstance(posterior, str) and posterior not in POSTERIORS:
        raise ValueError(f"posterior: expected {', '.join(POSTERIORS)} or a head, got {posterior!r}")
    head = require_kind("posterior", POSTERIORS[posterior] if isinstance(posterior, str) else posterior, Head)
    if head.support is not None:
        raise ValueError(f"posterior: expected a distribution over the real line, got {head}")
    return head


@static
class VAE(Coder):
    r"""A variational autoencoder: $z \sim p(z|c)$, $x|z \sim p(x|z,c)$, with an amortised $q(z|x,c)$.

    The networks take one datum: the encoder x (and the context, where `context_dim` is not 0), the
    decoder z (likewise). The encoder gives 2 M numbers for a diagonal posterior of M latents and
    M + M (M + 1) / 2 for a full one; the decoder what the likelihood's head reads. The data may come
    in any shape of the right size.

    Args:
      encoder: network x -> parameters of q.
      decoder: network z -> parameters of the likelihood; its output says the shape of a datum.
      latent_dim: M.
      posterior: `"diag"`, `"full"`, or a head, for instance a flow: `heads.Planar`, `heads.LinearIAF`, `heads.IAF`.
      likelihood: a head, `heads.bernoulli()` unless told otherwise.
      prior: `priors.standard_normal()` unless told otherwise.
      context_dim: length of the context, a vector or a label that becomes one; 0 for none.
      objective: what `vaejax.fit` maximises unless told otherwise; `None` is `objectives.elbo()`.

    Parameters: `encoder`, `decoder`, and where they have any `likelihood`, `prior`, `posterior`.

    Reference: Kingma and Welling, 2014; Sohn, Lee and Yan, 2015 (with a context).

    >>> import jax, vaejax as vj
    >>> model = vj.VAE(vj.networks.MLP((64, 32, 4)), vj.networks.MLP((2, 32, 64)), latent_dim=2)
    >>> params = model.init(jax.random.key(0))
    >>> vj.encode(model, params, jax.numpy.zeros((8, 8, 1))).shape
    (2,)
    """

    encoder: Network
    decoder: Network
    latent_dim: int
    posterior_head: Head = dataclasses.field(metadata={"argument": "posterior"})
    likelihood_head: Head = dataclasses.field(metadata={"argument": "likelihood"})
    prior_recipe: Prior = dataclasses.field(metadata={"argument": "prior"})
    context_dim: int
    objective: Any

    def __init__(
        self,
        encoder: Network,
        decoder: Network,
        latent_dim: int,
        posterior: str | Head = "diag",
        likelihood: Head | None = None,
        prior: Prior | None = None,
        context_dim: int = 0,
        objective: Any = None,
    ):
        set_fields(
            self,
            encoder=require_kind("encoder", encoder, Network),
            decoder=require_kind("decoder", decoder, Network),
            latent_dim=latent_dim,
            posterior_head=posterior_head(posterior),
            likelihood_head=require_kind("likelihood", likelihood or heads.bernoulli(), Head),
            prior_recipe=require_kind("prior", prior or priors.standard_normal(), Prior),
            context_dim=context_dim,
            objective=objective,
        )
        require_at_least("latent_dim", latent_dim, 1)
        require_at_least("context_dim", context_dim, 0)

    def init(self, key: jax.Array) -> Params:
        """Draw the networks' weights."""
        key_posterior = jax.random.fold_in(key, 2)  # a stream that splitting in two does not use
        key, key_prior = jax.random.split(key)
        prior = self.prior_recipe.init(key_prior, self.latent_dim, self.event_shape)
        posterior = self.posterior_head.init(key_posterior, (self.latent_dim,))
        own = {"prior": prior, "posterior": posterior}
        return self.init_networks(key, self.posterior_head) | {name: tree for name, tree in own.items() if tree}

    def prior(self, params: Params, context: Any = None) -> Distribution:
        """p(z)."""
        posterior = lambda x: self.posterior(params, x, context)  # noqa: E731
        return self.prior_recipe.apply(params.get("prior", {}), self.latent_dim, posterior)

    def likelihood(self, params: Params, h: jax.Array, context: Any = None) -> Distribution:
        """p(x | z, context)."""
        return self.decoded(params, h, context)

    def posterior(self, params: Params, x: jax.Array, context: Any = None) -> Distribution:
        """q(z | x, context)."""
        return self.posterior_head.apply(params.get("posterior", {}), self.encoded(params, x, context))
