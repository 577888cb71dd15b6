"""The sigma-VAE: one standard deviation, optimal in closed form."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.objectives.bounds import elbo
from vaejax.objectives.objective import (
    WEIGHTS,
    Calibration,
    Objective,
    assemble,
    mean_terms,
    over_batch,
    require_count,
    require_known,
    terms_of,
)
from vaejax.recipes import static

__all__ = ["has_optimal_scale", "optimal_sigma"]


def has_optimal_scale(model: Any) -> bool:
    """Whether the likelihood is `heads.normal("optimal")`, which this objective alone can train."""
    return model.scale == "optimal"


def _size_and_floor(model: Any) -> tuple[int, float]:
    return math.prod(model.event_shape), model.scale_floor


@static
class _OptimalSigma(Objective):
    num_samples: int
    analytic: bool
    accepts = WEIGHTS

    @property
    def calibration(self):
        return Calibration(self.statistic, self.absorb)

    @property
    def evaluation(self):
        return elbo(num_samples=self.num_samples, analytic=self.analytic)

    def __call__(self, model, params, key, x, context, step, hparams):
        require_known(self, hparams)
        terms = mean_terms(self._errors(model, params, key, x, context))
        size, floor = _size_and_floor(model)
        errors = terms.log_likelihood
        variance = jax.lax.stop_gradient(jnp.maximum(errors / size, floor**2))
        log_likelihood = -0.5 * size * jnp.log(2.0 * math.pi * variance) - 0.5 * errors / variance
        return assemble(terms._replace(log_likelihood=log_likelihood, variance=variance), hparams)

    def _errors(self, model, params, key, x, context):
        """The terms of each datum, with its squared error in place of the log-likelihood."""
        if not has_optimal_scale(model):
            raise ValueError(f"optimal_sigma: expected a model with heads.normal('optimal'), got {model}")
        error = lambda likelihood, x: jnp.sum((x - likelihood.loc) ** 2)  # noqa: E731
        one = lambda key, x, c: terms_of(model, params, key, x, c, self.num_samples, self.analytic, error)  # noqa: E731
        return over_batch(one, key, x, context)

    def statistic(self, model, params, key, x, context):
        """Sum of squared errors of each datum."""
        return self._errors(model, params, key, x, context).log_likelihood

    def absorb(self, model, params, mean):
        """Store the logarithm of the root of the mean squared error."""
        size, floor = _size_and_floor(model)
        old = params["likelihood"]["log_scale"]
        new = 0.5 * jnp.log(jnp.maximum(mean / size, max(floor**2, 1e-30)))
        return params | {"likelihood": {"log_scale": new.astype(old.dtype)}}


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
    require_count("num_samples", num_samples)
    return _OptimalSigma(num_samples, analytic)
