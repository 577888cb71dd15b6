"""The interface of an objective, and the terms of the bound that most of them share."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.distributions import Distribution, Latents, expect, kl_per_dimension
from vaejax.models import LatentModel, infer
from vaejax.types import Array, Context, Key, Params, PyTree, Scalar

__all__ = [
    "WEIGHTS",
    "Calibration",
    "HParams",
    "Info",
    "Objective",
    "Terms",
    "assemble",
    "mean_terms",
    "over_batch",
    "terms_of",
]

Info: TypeAlias = dict[str, Array]
HParams: TypeAlias = dict[str, Any]
T = TypeVar("T")

WEIGHTS = ("beta", "free_bits", "free_bits_per_layer")


class Calibration(NamedTuple):
    """A parameter in closed form, which `fit` sets from the train set at the end of each epoch.

    Attributes:
      statistic: `statistic(model, params, key, x, context)`, one number for each datum of a batch.
      absorb: `absorb(model, params, mean of the statistic) -> params`.
    """

    statistic: Callable[[LatentModel, Params, Key, Array, Context], Float[Array, " B"]]
    absorb: Callable[[LatentModel, Params, Scalar], Params]


class Objective(abc.ABC):
    """A function of a batch to maximise, hashable and compared by value."""

    @property
    def accepts(self) -> tuple[str, ...] | None:
        """Names that `hparams` may hold; `None` for any."""
        return ()

    @property
    def calibration(self) -> Calibration | None:
        """The parameter that is set in closed form, if there is one."""
        return None

    @property
    def evaluation(self) -> "Objective":
        """The objective on held-out data: nothing is fitted to them, and a warm-up is over."""
        return self

    def __call__(
        self,
        model: LatentModel,
        params: Params,
        key: Key,
        x: Array,
        context: Context,
        step: Array | int,
        hparams: HParams,
    ) -> tuple[Scalar, Info]:
        """Value of a batch, and averages to record of it."""
        accepts = hparams if self.accepts is None else self.accepts
        unknown = sorted(set(hparams) - set(accepts))
        if unknown:
            name = type(self).__name__.strip("_")
            raise ValueError(f"hparams: {name} accepts {', '.join(accepts) or 'none'}, got {', '.join(unknown)}")
        return self.of_batch(model, params, key, x, context, step, hparams)

    @abc.abstractmethod
    def of_batch(
        self,
        model: LatentModel,
        params: Params,
        key: Key,
        x: Array,
        context: Context,
        step: Array | int,
        hparams: HParams,
    ) -> tuple[Scalar, Info]:
        """Value and averages of a batch, with hparams that the objective accepts."""


class Terms(NamedTuple):
    r"""The bound of one datum, or its average over a batch: nats.

    Attributes:
      log_likelihood: $E_q \log p(x|z)$.
      kl: `()`, or `(L,)` per layer of a hierarchy.
      kl_per_dimension: where q and p are diagonal Gaussians over one vector, else `None`.
      entropy: of q, summed.
      variance: mean $\sigma^2$ of a Gaussian likelihood, else `None`.
    """

    log_likelihood: Scalar
    kl: Float[Array, "*layers"]
    kl_per_dimension: Float[Array, " M"] | None
    entropy: Scalar
    variance: Scalar | None


def terms_of(
    model: LatentModel,
    params: Params,
    key: Key,
    x: Array,
    context: Context,
    num_samples: int,
    analytic: bool,
    score: Callable[[Distribution, Array], Scalar] = lambda likelihood, x: likelihood.log_prob(x),
) -> Terms:
    """The terms of one datum, in one pass over its networks; `score` stands in for the log-likelihood."""
    x, context, p, q = infer(model, params, x, context)
    dimensions = kl_per_dimension(q, p) if analytic else None

    def gather(drawn: Latents) -> Terms:
        likelihood = model.likelihood(params, drawn.h, context)
        return Terms(score(likelihood, x), drawn.kl, dimensions, jnp.sum(drawn.entropy), likelihood.noise_variance)

    one = lambda key: expect(key, q, p, gather, analytic=analytic)  # noqa: E731
    if num_samples == 1:
        return one(key)
    return mean_terms(jax.vmap(one)(jax.random.split(key, num_samples)))


def over_batch(f: Callable[[Key, Array, Context], T], key: Key, x: Array, context: Context) -> T:
    """`f(key, x, context)` for each datum of a batch."""
    return jax.vmap(f)(jax.random.split(key, jnp.shape(x)[0]), x, context)


def mean_terms(terms: PyTree) -> Any:
    """Average over the leading axis."""
    return jax.tree.map(lambda leaf: jnp.mean(leaf, 0), terms)


def assemble(terms: Terms, hparams: HParams) -> tuple[Scalar, Info]:
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
