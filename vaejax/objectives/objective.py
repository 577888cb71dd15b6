"""The interface of an objective, and the terms of the bound that most of them share."""

import abc
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.models import LatentModel, Terms, terms
from vaejax.types import Array, Context, Key, Params, PyTree, Scalar

__all__ = [
    "WEIGHTS",
    "Averaged",
    "Calibration",
    "HParams",
    "Info",
    "Objective",
    "assemble",
    "mean_terms",
    "over_batch",
    "terms_of",
]

Info: TypeAlias = dict[str, Array]
HParams: TypeAlias = dict[str, Any]
T = TypeVar("T")

_OF_LAYERS = ("free_bits", "free_bits_per_layer", "free_share", "balance")
WEIGHTS = ("beta", *_OF_LAYERS)


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
    def warms_up(self) -> bool:
        """Whether the weight of the divergence rises from zero."""
        return False

    def settled(self, step: Array | int) -> Array | bool:
        """Whether a warm-up is over."""
        return True

    @property
    def splits(self) -> bool:
        """Whether the gradient of a batch is the sum over its parts, at no further cost."""
        return False

    @property
    def cold(self) -> "Objective":
        """The objective without a warm-up."""
        return self

    def of_run(self, num_steps: int) -> "Objective":
        """The objective of a run of so many steps: shares of the run become numbers of steps."""
        return self

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

    def gradient(
        self,
        model: LatentModel,
        params: Params,
        key: Key,
        x: Array,
        context: Context,
        step: Array | int,
        hparams: HParams,
        *,
        parts: int = 1,
    ) -> tuple[Params, tuple[Scalar, Info]]:
        """Gradient of a batch's value by the parameters, then what a call gives; computed in equal parts of the batch.

        Raises:
          ValueError: for more than one part, where the value is no function of averages over the batch.
        """
        if parts > 1:
            name = type(self).__name__.strip("_")
            raise ValueError(f"microbatch: {name} takes the batch as a whole, expected None or the size of a batch")

        def value(params: Params) -> tuple[Scalar, tuple[Scalar, Info]]:
            value, info = self(model, params, key, x, context, step, hparams)
            return value, (value, info)

        return jax.grad(value, has_aux=True)(params)

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


class Averaged(Objective):
    """An objective that is a function of averages over the batch, so that a batch can be taken in parts."""

    @abc.abstractmethod
    def of_datum(self, model: LatentModel, params: Params, key: Key, x: Array, context: Context) -> PyTree:
        """What is averaged."""

    @abc.abstractmethod
    def of_averages(self, model: LatentModel, averages: Any, hparams: HParams) -> tuple[Scalar, Info]:
        """Value and info of a batch with these averages."""

    def is_linear(self, hparams: HParams) -> bool:
        """Whether the value is linear in the averages, so that its derivative needs none of them."""
        return not set(_OF_LAYERS) & set(hparams)

    @property
    def splits(self) -> bool:
        return self.is_linear({})

    def of_batch(self, model, params, key, x, context, step, hparams):
        one = lambda key, x, context: self.of_datum(model, params, key, x, context)  # noqa: E731
        return self.of_averages(model, mean_terms(over_batch(one, key, x, context)), hparams)

    def gradient(self, model, params, key, x, context, step, hparams, *, parts=1):
        if parts == 1:
            return super().gradient(model, params, key, x, context, step, hparams)
        split = lambda leaf: leaf.reshape(parts, -1, *leaf.shape[1:])  # noqa: E731
        batches = jax.tree.map(split, (jax.random.split(key, len(x)), x, context))

        def averages(params: Params, batch: Any) -> PyTree:
            return mean_terms(jax.vmap(lambda key, x, c: self.of_datum(model, params, key, x, c))(*batch))

        add = lambda total, part: jax.tree.map(lambda a, b: a + b / parts, total, part)  # noqa: E731
        zeros = lambda like: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)  # noqa: E731
        means = zeros(jax.eval_shape(averages, params, jax.tree.map(lambda leaf: leaf[0], batches)))
        if not self.is_linear(hparams):
            means, _ = jax.lax.scan(lambda total, batch: (add(total, averages(params, batch)), None), means, batches)
        slope = jax.grad(lambda means: self.of_averages(model, means, hparams)[0])(means)

        def body(total: Any, batch: Any) -> tuple[Any, None]:
            means, back = jax.vjp(lambda params: averages(params, batch), params)
            return add(total, (means, back(slope)[0])), None

        (means, grads), _ = jax.lax.scan(body, (zeros(means), zeros(params)), batches)
        return grads, self.of_averages(model, means, hparams)


def terms_of(
    model: LatentModel,
    params: Params,
    key: Key,
    x: Array,
    context: Context,
    num_samples: int = 1,
    **options: Any,
) -> Terms:
    """The terms of one datum, averaged over draws; options as in `models.terms`."""
    one = lambda key: terms(model, params, key, x, context, **options)  # noqa: E731
    return one(key) if num_samples == 1 else mean_terms(jax.vmap(one)(jax.random.split(key, num_samples)))


def over_batch(f: Callable[[Key, Array, Context], T], key: Key, x: Array, context: Context) -> T:
    """`f(key, x, context)` for each datum of a batch."""
    return jax.vmap(f)(jax.random.split(key, jnp.shape(x)[0]), x, context)


def mean_terms(tree: PyTree) -> Any:
    """Average over the leading axis."""
    return jax.tree.map(lambda leaf: jnp.mean(leaf, 0), tree)


def _balanced(model: LatentModel, kl: Array, share: Array) -> Array:
    """Divergences of layers, weighted by what each holds a latent variable; the weights pass no gradient on."""
    sizes = jnp.array([math.prod(shape) for shape in _latent_shapes(model)], kl.dtype)
    held = (jax.lax.stop_gradient(jnp.abs(kl)) + 0.01) / sizes
    return (share * held / jnp.mean(held) + 1.0 - share) * kl


@functools.cache
def _latent_shapes(model: LatentModel) -> list[tuple[int, ...]]:
    """Shapes of the latents of a hierarchy, one for each of its divergences."""

    def draw(key: Key) -> PyTree:
        context = jnp.zeros(model.context_dim) if model.context_dim else None
        return model.prior(model.init(key), context).sample(key)

    return [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(draw, jax.random.key(0)))]


def assemble(bound: Terms, hparams: HParams, model: LatentModel | None = None) -> tuple[Scalar, Info]:
    """Value and info of a batch from the average of its terms; a balance of layers needs the model."""
    weight = jnp.asarray(hparams.get("beta", 1.0), bound.log_likelihood.dtype)
    layers, total = bound.kl, jnp.sum(bound.kl)
    if "free_bits" in hparams:
        if bound.kl_per_dimension is None:
            raise ValueError(
                "free_bits: expected a diagonal Gaussian posterior and prior and an analytic divergence for "
                "per='dimension'; use per='layer'"
            )
        layers = jnp.maximum(bound.kl_per_dimension, hparams["free_bits"])
    if "free_bits_per_layer" in hparams:
        layers = jnp.maximum(bound.kl, hparams["free_bits_per_layer"])
    if "free_share" in hparams:
        if not bound.kl.ndim:
            raise ValueError("free_share: expected a hierarchy, whose divergence has layers")
        layers = jnp.maximum(layers, hparams["free_share"] * jax.lax.stop_gradient(total))
    if "balance" in hparams:
        if model is None or not bound.kl.ndim or layers.shape != bound.kl.shape:
            raise ValueError("kl_balance: expected a hierarchy, whose divergence has layers")
        layers = _balanced(model, layers, hparams["balance"])
    info = {
        "elbo": bound.log_likelihood - total,
        "log_likelihood": bound.log_likelihood,
        "kl": total,
        "log_prior": -bound.entropy - total,
        "entropy": bound.entropy,
        "beta": weight,
    }
    if bound.kl_per_dimension is not None:
        info["kl_per_dimension"] = bound.kl_per_dimension
    if bound.kl.ndim:
        info["kl_per_layer"] = bound.kl
    if bound.variance is not None:
        info["implied_variance"] = weight * bound.variance
    return bound.log_likelihood - weight * jnp.sum(layers), info
