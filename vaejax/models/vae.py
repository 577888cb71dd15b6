"""Variational autoencoders with one layer of latents."""

from collections.abc import Callable
from typing import Any

import jax

from vaejax import heads, priors
from vaejax.checks import require_kind
from vaejax.distributions import Distribution
from vaejax.heads import Head
from vaejax.models.headed import Headed, as_likelihood, coder_weights, require_coder
from vaejax.networks import Network
from vaejax.priors import Prior
from vaejax.recipes import field, static
from vaejax.types import Array, Context, Key, Params

__all__ = ["VAE", "as_posterior"]

POSTERIORS = {"diag": heads.normal("per_pixel", floor=1e-6), "full": heads.full_normal(floor=1e-6)}


def as_posterior(posterior: str | Head) -> Head:
    """The head that a name stands for; a head is left alone."""
    if isinstance(posterior, str) and posterior not in POSTERIORS:
        raise ValueError(f"posterior: expected {', '.join(POSTERIORS)} or a head, got {posterior!r}")
    head = require_kind("posterior", POSTERIORS[posterior] if isinstance(posterior, str) else posterior, Head)
    if head.support is not None:
        raise ValueError(f"posterior: expected a distribution over the real line, got {head}")
    return head


def _as_prior(prior: Prior | None) -> Prior:
    return require_kind("prior", prior or priors.standard_normal(), Prior)


@static
class VAE(Headed):
    r"""A variational autoencoder: $z \sim p(z|c)$, $x|z \sim p(x|z,c)$, with an amortised $q(z|x,c)$.

    The networks take one datum: the encoder x (and the context, where `context_dim` is not 0), the
    decoder z (likewise). The encoder gives 2 M numbers for a diagonal posterior of M latents and
    M + M (M + 1) / 2 for a full one; the decoder gives the numbers that the likelihood's head reads.

    Args:
      encoder: network x -> parameters of q.
      decoder: network z -> parameters of the likelihood; its output says the shape of a datum.
      latent_dim: M.
      posterior: `"diag"`, `"full"`, or a head, for instance a flow: `heads.Planar`, `heads.LinearIAF`, `heads.IAF`.
      likelihood: a head (default: `heads.bernoulli()`).
      prior: of `vaejax.priors` (default: `priors.standard_normal()`).
      context_dim: length of the context, a vector or a label that becomes one; 0 for none.
      objective: default of `vaejax.fit`; `None` is `objectives.elbo()`.

    Parameters: `encoder`, `decoder`, `likelihood`, and where they have any `prior`, `posterior`.

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
    posterior_head: Head = field(alias="posterior", default="diag", converter=as_posterior)
    likelihood_head: Head = field(alias="likelihood", default=None, converter=as_likelihood)
    prior_recipe: Prior = field(alias="prior", default=None, converter=_as_prior)
    context_dim: int = 0
    objective: Callable[..., Any] | None = None

    def __post_init__(self):
        super().__post_init__()
        require_coder(self.encoder, self.latent_dim)

    @property
    def state_shape(self) -> tuple[int, ...]:
        return (self.latent_dim,)

    def weights(self, key: Key) -> Params:
        key_posterior = jax.random.fold_in(key, 2)  # a stream that splitting in two does not use
        key, key_prior = jax.random.split(key)
        prior = self.prior_recipe.init(key_prior, self.latent_dim, self.event_shape)
        posterior = self.posterior_head.init(key_posterior, (self.latent_dim,))
        heads = {"prior": prior, "posterior": posterior}
        networks = coder_weights(self, self.encoder, self.posterior_head, self.latent_dim, key)
        return networks | {name: tree for name, tree in heads.items() if tree}

    def prior(self, params: Params, context: Context = None) -> Distribution:
        posterior = lambda x: self.posterior(params, x, context)  # noqa: E731
        return self.prior_recipe.apply(params.get("prior", {}), self.latent_dim, posterior)

    def posterior(self, params: Params, x: Array, context: Context = None) -> Distribution:
        codes = self.encoder.apply(params["encoder"], x, *self.extra(context, x))
        return self.posterior_head.apply(params.get("posterior", {}), codes)
