"""Mixtures of probabilistic principal component analysers."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from vaejax.distributions import Categorical, Chain, Distribution, Guide, LowRankNormal, Mixture, Normal, TrilNormal
from vaejax.kernels import linear_gaussian_posterior
from vaejax.models.model import LatentModel, Params, flat_event, require_at_least, require_no_context
from vaejax.recipes import field, static

__all__ = ["PPCAMixture"]


def _choose(logits: jax.Array, h: None):
    return Categorical(logits), lambda k: k


def _place(z: Normal, k: jax.Array):
    return z, lambda z: (k, z)


def _weigh(q: Categorical, p: Distribution, h: None):
    return q


def _locate(each: TrilNormal, p: Distribution, k: jax.Array):
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
        """Check the sizes."""
        require_at_least("num_components", self.num_components, 1)
        require_at_least("dim", self.dim, 2)
        require_at_least("latent_dim", self.latent_dim, 1)
        if self.latent_dim >= self.dim:
            raise ValueError(f"latent_dim: expected less than dim = {self.dim}, got {self.latent_dim}")

    @property
    def num_parameters(self) -> int:
        """Number of free parameters (each W counts up to a rotation), for BIC and AIC."""
        k, d, m = self.num_components, self.dim, self.latent_dim
        return (k - 1) + k * (d + d * m - m * (m - 1) // 2 + 1)

    def init(self, key: jax.Array) -> Params:
        """Equal weights, means from N(0, I), small random W, unit noise."""
        k, d, m = self.num_components, self.dim, self.latent_dim
        key_means, key_weights = jax.random.split(key)
        return {
            "logits": jnp.zeros(k),
            "means": jax.random.normal(key_means, (k, d)),
            "weights": 0.1 * jax.random.normal(key_weights, (k, d, m)),
            "log_scale": jnp.zeros(k),
        }

    def prior(self, params: Params, context: Any = None) -> Chain:
        """p(k) p(z)."""
        require_no_context(self, context)
        zero = jnp.zeros(self.latent_dim, params["weights"].dtype)
        return Chain(None, (Partial(_choose, params["logits"]), Partial(_place, Normal(zero, jnp.ones_like(zero)))))

    def likelihood(self, params: Params, h: tuple, context: Any = None) -> Normal:
        """p(x | k, z)."""
        require_no_context(self, context)
        k, z = h
        loc = params["weights"][k] @ z + params["means"][k]
        return Normal(loc, jnp.broadcast_to(jnp.exp(params["log_scale"][k]), (self.dim,)))

    def posterior(self, params: Params, x: jax.Array, context: Any = None) -> Guide:
        """p(k | x) p(z | k, x), exact."""
        x = self.event(x)
        logits = self.marginal(params, context).component_log_probs(x)
        residual = x[None] - params["means"]
        each = jax.vmap(linear_gaussian_posterior)(residual, params["weights"], jnp.exp(params["log_scale"]))
        return Guide((Partial(_weigh, Categorical(logits)), Partial(_locate, TrilNormal(*each))))

    def marginal(self, params: Params, context: Any = None) -> Mixture:
        """p(x)."""
        require_no_context(self, context)
        scale = jnp.broadcast_to(jnp.exp(params["log_scale"])[:, None], (self.num_components, self.dim))
        return Mixture(params["logits"], LowRankNormal(params["means"], params["weights"], scale))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.dim,)

    def event(self, x: jax.Array) -> jax.Array:
        """The datum as a vector."""
        return flat_event(x, self.dim)
