"""The decomposition of the divergence into mutual information, total correlation and single dimensions."""

import math

import jax
import jax.numpy as jnp

from vaejax.checks import require_integer
from vaejax.distributions import Normal
from vaejax.kernels import normal_log_prob
from vaejax.models import infer
from vaejax.objectives.objective import Objective, Terms, assemble, mean_terms, over_batch
from vaejax.recipes import static

__all__ = ["beta_tc"]


@static
class _BetaTC(Objective):
    weight: float
    num_data: int
    alpha: float
    gamma: float

    @property
    def accepts(self) -> tuple[str, ...]:
        return ("beta",)

    def of_batch(self, model, params, key, x, context, step, hparams):
        def one(key, x, context):
            x, context, p, q = infer(model, params, x, context)
            if not (isinstance(q, Normal) and isinstance(p, Normal)):
                raise ValueError(
                    "beta_tc: expected a diagonal Gaussian posterior and prior, got "
                    f"{type(q).__name__} and {type(p).__name__}"
                )
            z = q.sample(key)
            each = jax.vmap(normal_log_prob)
            parts = each(z, q.loc, q.stddev), each(z, p.loc, p.stddev)
            likelihood = model.likelihood(params, z, context)
            return q, z, likelihood.log_prob(x), likelihood.noise_variance, *parts

        q, z, log_px, variance, log_q, log_p = over_batch(one, key, x, context)
        count = len(z)
        # log q(z_j) of the whole data: the datum's own posterior with its share 1/N, the batch's others for the rest.
        u = (z[:, None, :] - q.loc[None]) / q.stddev[None]
        pairs = -0.5 * u * u - jnp.log(q.stddev)[None] - 0.5 * math.log(2.0 * math.pi)
        others = (self.num_data - 1) / (self.num_data * max(count - 1, 1))
        log_share = jnp.log(jnp.where(jnp.eye(count, dtype=bool), 1.0 / self.num_data, others))
        joint = jax.nn.logsumexp(jnp.sum(pairs, -1) + log_share, 1)
        product = jnp.sum(jax.nn.logsumexp(pairs + log_share[:, :, None], 1), -1)
        information = jnp.mean(jnp.sum(log_q, -1) - joint)
        correlation = jnp.mean(joint - product)
        dimensions = jnp.mean(product - jnp.sum(log_p, -1))
        log_likelihood, weight = jnp.mean(log_px), self.weight * jnp.asarray(hparams.get("beta", 1.0), z.dtype)
        penalty = self.alpha * information + weight * correlation + self.gamma * dimensions
        kl = log_q - log_p
        terms = mean_terms(Terms(log_px, jnp.sum(kl, -1), kl, -jnp.sum(log_q, -1), variance))
        info = assemble(terms, {"beta": weight})[1]
        info |= {"mutual_information": information, "total_correlation": correlation, "dimensions_kl": dimensions}
        return log_likelihood - penalty, info


def beta_tc(weight: float, *, num_data: int, alpha: float = 1.0, gamma: float = 1.0) -> Objective:
    r"""The ELBO with its divergence in three parts, the total correlation weighted by $\beta$.

    $$E\log p(x|z) - \alpha I_q(z; n) - \beta\,KL[q(z)\,\|\,\textstyle\prod_j q(z_j)]
    - \gamma\sum_j KL[q(z_j)\,\|\,p(z_j)]$$

    with $q(z) = \frac1N\sum_n q(z|x_n)$ estimated from the batch; with the whole data as the batch the
    estimate is exact up to the draw of z. hparams: `beta`, a factor on the weight.

    Args:
      weight: $\beta$, the weight of the total correlation.
      num_data: N, the number of rows of the train set.
      alpha: weight of the mutual information.
      gamma: weight of the divergences of single dimensions.

    Reference: Chen, Li, Grosse and Duvenaud, 2018, equation 4; their stratified estimator.
    """
    return _BetaTC(weight, require_integer("num_data", num_data), alpha, gamma)
