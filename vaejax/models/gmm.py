"""The Gaussian mixture model."""

import typing

import jax
import jax.numpy as jnp
from jaxtyping import Int

from vaejax.checks import require_choice, require_integer
from vaejax.distributions import Categorical, Mixture, Normal, TrilNormal
from vaejax.models.model import LatentModel
from vaejax.recipes import field, static
from vaejax.types import Array, Context, Covariance, Key, Params

__all__ = ["GMM"]


@static
class GMM(LatentModel):
    r"""Gaussian mixture: $z \sim \mathrm{Categorical}(\pi)$, $x|z{=}k \sim N(\mu_k, \Sigma_k)$.

    Attributes:
      num_components: K.
      dim: D, the length of a datum; images are flattened.
      covariance: `"full"` (one $\Sigma_k$ each), `"tied"` (one for all), `"diag"` or `"spherical"`.

    Parameters: `logits` (K,), `means` (K, D), and `scale_tril` (K, D, D) for full, (D, D) for tied, or
    `log_scale` (K, D) for diag, (K,) for spherical: the logarithm of a standard deviation.

    Reference: Beaulac, 2019, section 2, with one $\Sigma_k$ a component.

    >>> import jax, vaejax as vj
    >>> model = vj.GMM(num_components=3, dim=2)
    >>> vj.encode(model, model.init(jax.random.key(0)), jnp.zeros(2)).shape  # responsibilities
    (3,)
    """

    num_components: int = field()
    dim: int
    covariance: Covariance = "full"
    has_evidence = True

    def __post_init__(self):
        require_integer("num_components", self.num_components)
        require_integer("dim", self.dim)
        require_choice("covariance", self.covariance, typing.get_args(Covariance))

    @property
    def num_parameters(self) -> int:
        k, d = self.num_components, self.dim
        spread = {"full": k * d * (d + 1) // 2, "tied": d * (d + 1) // 2, "diag": k * d, "spherical": k}
        return (k - 1) + k * d + spread[self.covariance]

    def init(self, key: Key) -> Params:
        # Equal weights, unit covariances, means from N(0, I).
        k, d = self.num_components, self.dim
        params = {"logits": jnp.zeros(k), "means": jax.random.normal(key, (k, d))}
        match self.covariance:
            case "full":
                return params | {"scale_tril": jnp.tile(jnp.eye(d), (k, 1, 1))}
            case "tied":
                return params | {"scale_tril": jnp.eye(d)}
            case "diag":
                return params | {"log_scale": jnp.zeros((k, d))}
            case _:
                return params | {"log_scale": jnp.zeros(k)}

    def components(self, params: Params) -> TrilNormal | Normal:
        """The components as one distribution with a leading axis of length K."""
        means, shape = params["means"], (self.num_components, self.dim)
        match self.covariance:
            case "full":
                return TrilNormal(means, params["scale_tril"])
            case "tied":
                return TrilNormal(means, jnp.broadcast_to(params["scale_tril"][None], (*shape, self.dim)))
            case "diag":
                return Normal(means, jnp.exp(params["log_scale"]))
            case _:
                return Normal(means, jnp.broadcast_to(jnp.exp(params["log_scale"])[:, None], shape))

    def prior(self, params: Params, context: Context = None) -> Categorical:
        return Categorical(params["logits"])

    def likelihood(self, params: Params, h: Int[Array, ""], context: Context = None) -> TrilNormal | Normal:
        return jax.tree.map(lambda leaf: leaf[h], self.components(params))

    def posterior(self, params: Params, x: Array, context: Context = None) -> Categorical:
        return Categorical(self.marginal(params).component_log_probs(x))

    def marginal(self, params: Params, context: Context = None) -> Mixture:
        return Mixture(params["logits"], self.components(params))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.dim,)
