"""Mixtures of probabilistic principal component analysers."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from vaejax.checks import require_integer
from vaejax.distributions import (
    Categorical,
    Chain,
    Guide,
    LowRankNormal,
    Mixture,
    Normal,
    TrilNormal,
    fixed,
    given,
)
from vaejax.kernels import linear_gaussian_posterior
from vaejax.models.model import LatentModel
from vaejax.models.ppca import require_latents
from vaejax.recipes import field, static
from vaejax.types import Array, Context, Key, Params

__all__ = ["PPCAMixture"]


def _place(z: Normal, k: Array):
    return z, lambda z: (k, z)


def _locate(each: TrilNormal, p: Normal, k: Array) -> TrilNormal:
    return jax.tree.map(lambda leaf: leaf[k], each)


@static
class PPCAMixture(LatentModel):
    r"""Mixture of PPCAs: $k \sim \pi$, $z \sim N(0, I_M)$, $x|k,z \sim N(W_k z + \mu_k, \sigma_k^2 I_D)$.

    Attributes:
      num_components: K.
      dim: D, the length of a datum; images are flattened.
      latent_dim: M, less than D.

    Parameters: `logits` (K,), `means` (K, D), `weights` (K, D, M), `log_scale` (K,). The latent is the
    tuple `(k, z)`.

    Reference: Tipping and Bishop, *Mixtures of probabilistic principal component analyzers*, 1999.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCAMixture(num_components=3, dim=5, latent_dim=2)
    >>> vj.log_evidence(model, model.init(jax.random.key(0)), jnp.zeros(5)).shape
    ()
    """

    num_components: int = field()
    dim: int
    latent_dim: int
    has_evidence = True

    def __post_init__(self):
        require_integer("num_components", self.num_components)
        require_latents(self.dim, self.latent_dim)

    @property
    def num_parameters(self) -> int:
        k, d, m = self.num_components, self.dim, self.latent_dim
        return (k - 1) + k * (d + d * m - m * (m - 1) // 2 + 1)  # each W counts up to a rotation

    def init(self, key: Key) -> Params:
        k, d, m = self.num_components, self.dim, self.latent_dim
        key_means, key_weights = jax.random.split(key)
        return {
            "logits": jnp.zeros(k),
            "means": jax.random.normal(key_means, (k, d)),
            "weights": 0.1 * jax.random.normal(key_weights, (k, d, m)),
            "log_scale": jnp.zeros(k),
        }

    def prior(self, params: Params, context: Context = None) -> Chain:
        z = Normal.standard(self.latent_dim, like=params["weights"])
        return Chain(None, (fixed(Categorical(params["logits"])), Partial(_place, z)))

    def likelihood(self, params: Params, h: tuple[Array, Array], context: Context = None) -> Normal:
        k, z = h
        loc = params["weights"][k] @ z + params["means"][k]
        return Normal(loc, jnp.broadcast_to(jnp.exp(params["log_scale"][k]), (self.dim,)))

    def posterior(self, params: Params, x: Array, context: Context = None) -> Guide:
        logits = self.marginal(params).component_log_probs(x)
        residual = x[None] - params["means"]
        each = jax.vmap(linear_gaussian_posterior)(residual, params["weights"], jnp.exp(params["log_scale"]))
        return Guide((given(Categorical(logits)), Partial(_locate, TrilNormal(*each))))

    def marginal(self, params: Params, context: Context = None) -> Mixture:
        scale = jnp.broadcast_to(jnp.exp(params["log_scale"])[:, None], (self.num_components, self.dim))
        return Mixture(params["logits"], LowRankNormal(params["means"], params["weights"], scale))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.dim,)
