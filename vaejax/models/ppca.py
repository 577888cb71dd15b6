"""Linear Gaussian models: probabilistic PCA and factor analysis."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.checks import require_integer
from vaejax.distributions import LowRankNormal, Normal, TrilNormal
from vaejax.kernels import linear_gaussian_posterior
from vaejax.models.model import LatentModel
from vaejax.recipes import static
from vaejax.types import Array, Context, Key, Params

__all__ = ["PPCA", "FactorAnalysis"]


class _LinearGaussian(LatentModel):
    """z ~ N(0, I), x | z ~ N(W z + mean, diag(scale^2)), with its exact posterior and p(x) = N(mean, W W^T + ...)."""

    dim: int
    latent_dim: int
    has_evidence = True

    def __post_init__(self):
        require_latents(self.dim, self.latent_dim)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.dim,)

    @property
    def num_scales(self) -> int:
        """Number of noise variances."""
        return 1

    @property
    def num_parameters(self) -> int:
        d, m = self.dim, self.latent_dim
        return d + d * m - m * (m - 1) // 2 + self.num_scales  # W counts up to a rotation

    def init(self, key: Key) -> Params:
        weight = 0.1 * jax.random.normal(key, (self.dim, self.latent_dim))
        log_scale = jnp.zeros(self.num_scales if self.num_scales > 1 else ())
        return {"mean": jnp.zeros(self.dim), "weight": weight, "log_scale": log_scale}

    def _scale(self, params: Params) -> Float[Array, " D"]:
        return jnp.broadcast_to(jnp.exp(params["log_scale"]), (self.dim,))

    def prior(self, params: Params, context: Context = None) -> Normal:
        return Normal.standard(self.latent_dim, like=params["weight"])

    def likelihood(self, params: Params, h: Float[Array, " M"], context: Context = None) -> Normal:
        return Normal(params["weight"] @ h + params["mean"], self._scale(params))

    def posterior(self, params: Params, x: Float[Array, " D"], context: Context = None) -> TrilNormal:
        return TrilNormal(*linear_gaussian_posterior(x - params["mean"], params["weight"], self._scale(params)))

    def marginal(self, params: Params, context: Context = None) -> LowRankNormal:
        return LowRankNormal(params["mean"], params["weight"], self._scale(params))


def require_latents(dim: int, latent_dim: int) -> None:
    """Check that there are fewer latents than entries."""
    require_integer("dim", dim, 2)
    require_integer("latent_dim", latent_dim)
    if latent_dim >= dim:
        raise ValueError(f"latent_dim: expected less than dim = {dim}, got {latent_dim}")


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
    def num_scales(self) -> int:
        return self.dim
