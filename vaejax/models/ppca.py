"""Linear Gaussian models: probabilistic PCA and factor analysis."""

from typing import Any

import jax
import jax.numpy as jnp

from vaejax.distributions import LowRankNormal, Normal, TrilNormal
from vaejax.kernels import linear_gaussian_posterior
from vaejax.models.model import LatentModel, Params, flat_event, require_at_least, require_no_context
from vaejax.recipes import static

__all__ = ["PPCA", "FactorAnalysis"]


class _LinearGaussian(LatentModel):
    """What the two share: z ~ N(0, I), x | z ~ N(W z + mean, diag(scale^2)), and its exact posterior."""

    dim: int
    latent_dim: int
    has_evidence = True

    def __post_init__(self):
        require_at_least("dim", self.dim, 2)
        require_at_least("latent_dim", self.latent_dim, 1)
        if self.latent_dim >= self.dim:
            raise ValueError(f"latent_dim: expected less than dim = {self.dim}, got {self.latent_dim}")

    def _scale(self, params: Params) -> jax.Array:
        return jnp.broadcast_to(jnp.exp(params["log_scale"]), (self.dim,))

    def prior(self, params: Params, context: Any = None) -> Normal:
        """p(z) = N(0, I)."""
        require_no_context(self, context)
        zero = jnp.zeros(self.latent_dim, params["weight"].dtype)
        return Normal(zero, jnp.ones_like(zero))

    def likelihood(self, params: Params, h: jax.Array, context: Any = None) -> Normal:
        """p(x | z)."""
        require_no_context(self, context)
        return Normal(params["weight"] @ h + params["mean"], self._scale(params))

    def posterior(self, params: Params, x: jax.Array, context: Any = None) -> TrilNormal:
        """p(z | x), exact."""
        require_no_context(self, context)
        residual = self.event(x) - params["mean"]
        return TrilNormal(*linear_gaussian_posterior(residual, params["weight"], self._scale(params)))

    def marginal(self, params: Params, context: Any = None) -> LowRankNormal:
        """p(x) = N(mean, W W^T + diag(scale^2))."""
        require_no_context(self, context)
        return LowRankNormal(params["mean"], params["weight"], self._scale(params))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.dim,)

    def event(self, x: jax.Array) -> jax.Array:
        """The datum as a vector."""
        return flat_event(x, self.dim)

    def _rotation_free(self) -> int:
        d, m = self.dim, self.latent_dim
        return d + d * m - m * (m - 1) // 2

    def _init(self, key: jax.Array, log_scale: jax.Array) -> Params:
        weight = 0.1 * jax.random.normal(key, (self.dim, self.latent_dim))
        return {"mean": jnp.zeros(self.dim), "weight": weight, "log_scale": log_scale}


@static
class PPCA(_LinearGaussian):
    r"""Probabilistic PCA: $z \sim N(0, I_M)$, $x|z \sim N(Wz + \mu, \sigma^2 I_D)$.

    Attributes:
      dim: D, the length of a datum; images are flattened.
      latent_dim: M, less than D.

    Parameters: `mean` (D,), `weight` (D, M), `log_scale` (): the logarithm of the standard deviation
    $\sigma$.

    Reference: Tipping and Bishop, 1999; Beaulac, 2019, section 4.

    >>> import jax, vaejax as vj
    >>> model = vj.PPCA(dim=5, latent_dim=2)
    >>> vj.encode(model, model.init(jax.random.key(0)), jnp.zeros(5)).tolist()
    [0.0, 0.0]
    """

    dim: int
    latent_dim: int

    @property
    def num_parameters(self) -> int:
        """Number of free parameters (W counts up to a rotation), for BIC and AIC."""
        return self._rotation_free() + 1

    def init(self, key: jax.Array) -> Params:
        """Zero mean, small random W, unit noise."""
        return self._init(key, jnp.zeros(()))


@static
class FactorAnalysis(_LinearGaussian):
    r"""Factor analysis: as `PPCA` with one noise variance a column, $x|z \sim N(Wz + \mu, \mathrm{diag}\,\psi)$.

    Attributes:
      dim: D, the length of a datum; images are flattened.
      latent_dim: M, less than D.

    Parameters: `mean` (D,), `weight` (D, M), `log_scale` (D,): logarithms of standard deviations.

    Reference: Rubin and Thayer, 1982.

    >>> import vaejax as vj
    >>> vj.FactorAnalysis(dim=5, latent_dim=2).num_parameters
    19
    """

    dim: int
    latent_dim: int

    @property
    def num_parameters(self) -> int:
        """Number of free parameters (W counts up to a rotation), for BIC and AIC."""
        return self._rotation_free() + self.dim

    def init(self, key: jax.Array) -> Params:
        """Zero mean, small random W, unit noise."""
        return self._init(key, jnp.zeros(self.dim))
