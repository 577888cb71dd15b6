"""Rate and distortion of the members of an ensemble that was trained over weights of the divergence."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.data.inputs import Rows, checked_rows
from vaejax.models import LatentModel, elbo

__all__ = ["RateDistortion", "rate_distortion"]

_AT_ONCE = 256


class RateDistortion(NamedTuple):
    """One point for each member, nats.

    Attributes:
      rate: mean divergence of the posterior from the prior, (members,).
      distortion: minus the mean log-likelihood given z, (members,).
      standard_errors: of rate and distortion over the rows, (members, 2).
    """

    rate: np.ndarray
    distortion: np.ndarray
    standard_errors: np.ndarray


@jax.jit
def _points(model: LatentModel, params: Any, key: jax.Array, rows: Rows) -> tuple[jax.Array, jax.Array]:
    def one(item: tuple[jax.Array, Rows]) -> tuple[jax.Array, jax.Array]:
        key, (x, context) = item
        bound = elbo(model, params, key, x, context)
        return jnp.sum(bound.kl), -bound.log_likelihood

    return jax.lax.map(one, (jax.random.split(key, len(rows.x)), rows), batch_size=min(len(rows.x), _AT_ONCE))


def rate_distortion(model: LatentModel, params: Any, key: jax.Array, x: Any, context: Any = None) -> RateDistortion:
    r"""The curve $(R, D)$ of an ensemble over $\beta$: what is spent on z against what is lost of x.

    $$R = E_x\,KL[q(z|x)\,\|\,p(z)], \qquad D = -E_x E_{q}\log p(x|z), \qquad -\mathrm{ELBO} = R + D$$

    A member trained with weight $\beta$ stands where the slope of its curve is $dD/dR = -\beta$.

    Args:
      model: any model with a density.
      params: of an ensemble, every array with a leading axis of members, as `vaejax.fit_ensemble` returns them.
      key: a PRNG key; all members are scored by the same draws.
      x: held-out rows (N, ...) in the form that the likelihood scores.
      context: labels (N,) or vectors, where the model has a context.

    Returns:
      A `RateDistortion`.

    Reference: Alemi et al., 2018.

    >>> import jax, jax.numpy as jnp, vaejax as vj
    >>> model, keys = vj.zoo.vae(4, 2, hidden=(8,)), jax.random.split(jax.random.key(0), 2)
    >>> x = (jax.random.uniform(jax.random.key(1), (64, 4)) < 0.3) * 1.0
    >>> fits = vj.fit_ensemble(model, keys, x, hparams={"beta": jnp.array([0.1, 4.0])}, epochs=2)
    >>> rate_distortion(model, fits.params, keys[0], x).rate.shape
    (2,)
    """
    rows = checked_rows(model, x, context, "x")
    rate, distortion = jax.vmap(lambda params: _points(model, params, key, rows))(params)
    both = np.stack([np.asarray(rate, np.float64), np.asarray(distortion, np.float64)], -1)
    errors = both.std(1, ddof=1) / np.sqrt(both.shape[1]) if both.shape[1] > 1 else np.full(both.shape[::2], np.nan)
    return RateDistortion(both[..., 0].mean(1), both[..., 1].mean(1), errors)
