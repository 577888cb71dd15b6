"""What an objective is, and the terms of the bound that most of them share."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vaejax.distributions import Draw, Normal, expect, kl_per_dimension
from vaejax.models import LatentModel
from vaejax.models.model import Params

__all__ = [
    "WEIGHTS",
    "Calibration",
    "HParams",
    "Info",
    "Objective",
    "Terms",
    "assemble",
    "mean_terms",
    "noise_variance",
    "over_batch",
    "require_count",
    "require_known",
    "terms_of",
]

Info = dict[str, jax.Array]
HParams = dict[str, Any]


class Calibration(NamedTuple):
    """A parameter in closed form, which `fit` sets from the train set at the end of each epoch.

    Attributes:
      statistic: `statistic(model, params, key, x, context)`, one number for each datum of a batch.
      absorb: `absorb(model, params, mean of the statistic) -> params`.
    """

    statistic: Callable[..., jax.Array]
    absorb: Callable[[LatentModel, Params, jax.Array], Params]


class Objective(abc.ABC):
    """A function of a batch to maximise, hashable and compared by value.

    Attributes:
      accepts: names that `hparams` may hold, a tuple.
      calibration: a `Calibration`, if a parameter is set in closed form.
    """

    accepts: Any = ()
    calibration: Any = None

    @property
    def evaluation(self) -> "Objective":
        """The objective on held-out data: nothing is fitted to them, and a warm-up is over."""
        return self

    @abc.abstractmethod
    def __call__(
        self, model: LatentModel, params: Params, key: jax.Array, x: Any, context: Any, step: Any, hparams: HParams
    ) -> tuple[jax.Array, Info]:
        """Value of a batch and what to record of it."""


class Terms(NamedTuple):
    r"""The bound of one datum, or its average over a batch: nats.

    Attributes:
      log_likelihood: $E_q \log p(x|z)$.
      kl: `()`, or `(L,)` per layer of a hierarchy.
      kl_per_dimension: `(M,)` where q and p are diagonal Gaussians over one vector, else `None`.
      entropy: of q, summed.
      variance: mean $\sigma^2$ of a Gaussian likelihood, else `None`.
    """

    log_likelihood: jax.Array
    kl: jax.Array
    kl_per_dimension: jax.Array | None
    entropy: jax.Array
    variance: jax.Array | None


def terms_of(
    model: LatentModel,
    params: Params,
    key: jax.Array,
    x: Any,
    context: Any,
    num_samples: int,
    analytic: bool,
    score: Callable[[Any, jax.Array], jax.Array] = lambda likelihood, x: likelihood.log_prob(x),
) -> Terms:
    """The terms of one datum, in one pass over its networks; `score` stands in for the log-likelihood."""
    x = model.event(x)
    p, q = model.prior(params, context), model.posterior(params, x, context)
    dimensions = kl_per_dimension(q, p) if analytic else None

    def gather(d: Draw) -> Terms:
        likelihood = model.likelihood(params, d.h, context)
        return Terms(score(likelihood, x), d.kl, dimensions, jnp.sum(d.entropy), noise_variance(likelihood))

    one = lambda key: expect(key, q, p, gather, analytic=analytic)  # noqa: E731
    if num_samples == 1:
        return one(key)
    return mean_terms(jax.vmap(one)(jax.random.split(key, num_samples)))


def noise_variance(likelihood: Any) -> jax.Array | None:
    """Mean variance of a Gaussian likelihood's entries, else `None`."""
    return jnp.mean(likelihood.scale**2) if isinstance(likelihood, Normal) else None


def over_batch(f: Callable[..., Any], key: jax.Array, x: Any, context: Any) -> Any:
    """`f(key, x, context)` for each datum of a batch."""
    return jax.vmap(f)(jax.random.split(key, jnp.shape(x)[0]), x, context)


def mean_terms(terms: Any) -> Any:
    """Average over the leading axis."""
    return jax.tree.map(lambda leaf: jnp.mean(leaf, 0), terms)


def assemble(terms: Terms, hparams: HParams) -> tuple[jax.Array, Info]:
    """Value and info of a batch from the average of its terms."""
    weight = jnp.asarray(hparams.get("beta", 1.0), terms.log_likelihood.dtype)
    penalty = total = jnp.sum(terms.kl)
    if "free_bits" in hparams:
        if terms.kl_per_dimension is None:
            raise ValueError(
                "free_bits: expected a diagonal Gaussian posterior and prior and an analytic divergence for "
                "per='dimension'; use per='layer'"
            )
        penalty = jnp.sum(jnp.maximum(terms.kl_per_dimension, hparams["free_bits"]))
    if "free_bits_per_layer" in hparams:
        penalty = jnp.sum(jnp.maximum(terms.kl, hparams["free_bits_per_layer"]))
    info = {
        "elbo": terms.log_likelihood - total,
        "log_likelihood": terms.log_likelihood,
        "kl": total,
        "log_prior": -terms.entropy - total,
        "entropy": terms.entropy,
        "beta": weight,
    }
    if terms.kl_per_dimension is not None:
        info["kl_per_dimension"] = terms.kl_per_dimension
    if terms.kl.ndim:
        info["kl_per_layer"] = terms.kl
    if terms.variance is not None:
        info["implied_variance"] = weight * terms.variance
    return terms.log_likelihood - weight * penalty, info


def require_count(name: str, value: Any) -> None:
    """Raise `ValueError` unless `value` is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: expected an integer of at least 1, got {value!r}")


def require_known(objective: Objective, hparams: HParams) -> None:
    """Raise `ValueError` for hyperparameters that the objective does not read."""
    unknown = sorted(set(hparams) - set(objective.accepts))
    if unknown:
        raise ValueError(
            f"hparams: {type(objective).__name__.strip('_')} accepts {', '.join(objective.accepts) or 'none'}, "
            f"got {', '.join(unknown)}"
        )


WEIGHTS = ("beta", "free_bits", "free_bits_per_layer")
