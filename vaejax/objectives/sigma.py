"""The sigma-VAE: one standard deviation, optimal in closed form."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.models import LatentModel, Terms
from vaejax.objectives.bounds import as_draws, elbo
from vaejax.objectives.objective import (
    WEIGHTS,
    Averaged,
    Calibration,
    Objective,
    assemble,
    over_batch,
    terms_of,
)
from vaejax.recipes import field, static
from vaejax.types import Array, Context, Key, Params, Scalar

__all__ = ["optimal_sigma"]


def _error(likelihood: Any, x: Array) -> Scalar:
    return jnp.sum((x - likelihood.loc) ** 2)


@static
class _OptimalSigma(Averaged):
    num_samples: int = field(converter=as_draws)
    analytic: bool

    @property
    def accepts(self) -> tuple[str, ...]:
        return WEIGHTS

    @property
    def calibration(self) -> Calibration:
        return Calibration(self.statistic, self.absorb)

    @property
    def evaluation(self) -> Objective:
        return elbo(num_samples=self.num_samples, analytic=self.analytic)

    def is_linear(self, hparams):
        return False

    def of_averages(self, model, averages, hparams):
        size, floor, errors = math.prod(model.event_shape), model.scale_floor, averages.log_likelihood
        variance = jax.lax.stop_gradient(jnp.maximum(errors / size, floor**2))
        log_likelihood = -0.5 * size * jnp.log(2.0 * math.pi * variance) - 0.5 * errors / variance
        return assemble(averages._replace(log_likelihood=log_likelihood, variance=variance), hparams, model)

    def of_datum(self, model: LatentModel, params: Params, key: Key, x: Array, context: Context) -> Terms:
        """The terms, with the squared error in place of the log-likelihood."""
        if model.scale != "optimal":
            raise ValueError(f"optimal_sigma: expected a model with heads.normal('optimal'), got {model}")
        options = {"num_samples": self.num_samples, "analytic": self.analytic, "score": _error}
        return terms_of(model, params, key, x, context, **options)

    def statistic(self, model: LatentModel, params: Params, key: Key, x: Array, context: Context) -> Float[Array, " B"]:
        """Sum of squared errors of each datum."""
        one = lambda key, x, context: self.of_datum(model, params, key, x, context)  # noqa: E731
        return over_batch(one, key, x, context).log_likelihood

    def absorb(self, model: LatentModel, params: Params, mean: Scalar) -> Params:
        """Store the logarithm of the root of the mean squared error."""
        old, floor = params["likelihood"]["log_scale"], model.scale_floor
        new = 0.5 * jnp.log(jnp.maximum(mean / math.prod(model.event_shape), max(floor**2, 1e-30)))
        return params | {"likelihood": params["likelihood"] | {"log_scale": new.astype(old.dtype)}}


def optimal_sigma(*, num_samples: int = 1, analytic: bool = True) -> Objective:
    r"""The ELBO of a Gaussian likelihood whose one $\sigma$ is optimal for the batch (the $\sigma$-VAE).

    $$\sigma^{*2} = \frac1{BD}\sum_{b}\|x_b - \mu(z_b)\|^2, \qquad z_b \sim q(z|x_b)$$

    For models with `heads.normal("optimal")`. `fit` stores the value of the train set in the parameters
    at the end of each epoch; held-out data are scored with that, never with their own.

    Args:
      num_samples: draws for each datum.
      analytic: as in `elbo`.

    Reference: Rybkin, Daniilidis and Levine, 2021, section 3.3.
    """
    return _OptimalSigma(num_samples, analytic)
