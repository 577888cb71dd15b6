"""One interface for every latent-variable model: a prior, a likelihood and a posterior."""

import abc
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.distributions import Distribution, Proposal
from vaejax.types import Array, ArrayLike, Context, Key, Params, Scale

__all__ = ["LatentModel"]


class LatentModel(abc.ABC):
    """A latent-variable model as pure functions of its parameters.

    Subclasses are final frozen dataclasses that hold no arrays (decorated with `vaejax.recipes.static`),
    so they pass through `jax.jit` and `jax.vmap` as they are. Each says its event's shape and three functions;
    everything else (`elbo`, `importance_bound`, `log_evidence`, `sample`, ...) is derived from them once.

    Arguments that all functions of models share:
      model: a `LatentModel`.
      params: its parameters, a nested dict of arrays as `model.init(key)` gives.
      key: a PRNG key, `jax.random.key(seed)`; one of `jax.random.PRNGKey(seed)` will do.
      x: one datum, or rows (N, ...) in `vaejax.evaluate`: floats in the form that the likelihood scores, or uint8
        pixels, which are scaled to [0, 1]. Any shape of the right size is reshaped.
      context: the condition of a model with a `context_dim`: a label or a vector, one for each datum.
      progress: show a bar, on a terminal or in a notebook.

    Numbers have JAX's default precision: float32, and float64 in all parameters where `jax_enable_x64` is set.

    The three functions themselves take x as `model.event(x)`; the derived functions see to that, once a datum.

    Attributes, beside the properties below:
      context_dim: length of the context; 0 for an unconditional model.
      objective: default of `vaejax.fit`; `None` is the choice of `objectives.for_model`.
      has_density: whether the model has a density p(x) at all.
      has_evidence: whether `marginal` gives it in closed form.
      num_components: number of classes of a mixture, or `None`.
      em_step: the EM step that the model brings (`vaejax.em.EMStep`), or `None`.
    """

    context_dim: int = 0
    objective: Callable[..., Any] | None = None
    has_density: bool = True
    has_evidence: bool = False
    num_components: Any = None
    em_step: Any = None

    @property
    @abc.abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one datum as the likelihood scores it."""

    @abc.abstractmethod
    def init(self, key: Key) -> Params:
        """Draw initial parameters, a nested dict of arrays."""

    @abc.abstractmethod
    def prior(self, params: Params, context: Context = None) -> Distribution:
        """p(z | context)."""

    @abc.abstractmethod
    def likelihood(self, params: Params, h: Any, context: Context = None) -> Distribution:
        """p(x | h, context): h is z itself in a flat model, the last top-down state in a hierarchy."""

    @abc.abstractmethod
    def posterior(self, params: Params, x: Array, context: Context = None) -> Proposal:
        """p(z | x) where it is exact, else q(z | x, context)."""

    def from_data(self, params: Params, mean: Array, deviation: Array) -> Params:
        """The parameters, with what the likelihood can know of the data without z: where it lies, and how wide it is.

        Args:
          mean: of each entry of an event.
          deviation: of each entry.
        """
        return params

    def marginal(self, params: Params, context: Context = None) -> Distribution:
        """p(x | context) in closed form, for the models that have one."""
        raise TypeError(
            f"{type(self).__name__} has no evidence in closed form: estimate it with vaejax.importance_bound"
        )

    @property
    def support(self) -> tuple[float, float] | None:
        """Least and greatest value of the data, or `None` for the real line."""
        return None

    @property
    def levels(self) -> int | None:
        """Number of grey values on a grid over [0, 1] where the likelihood is a probability of them, or `None`."""
        return None

    @property
    def binary(self) -> bool:
        """Whether only zeros and ones have a likelihood; the score of other values is none."""
        return False

    @property
    def scale(self) -> float | Scale | None:
        """Standard deviation of a Gaussian likelihood: a number where it is fixed, else how it is learned."""
        return None

    @property
    def scale_floor(self) -> float:
        """Least standard deviation that is learned."""
        return 0.0

    @property
    def num_parameters(self) -> int | None:
        """Number of free parameters for BIC and AIC, or `None` where they mean nothing."""
        return None

    @property
    def stages(self) -> tuple["LatentModel", ...]:
        """Models that are trained side by side, each on a bound of its own, in the place of a bound of this one."""
        return ()

    def stage_contexts(self, context: Context) -> tuple[Context, ...]:
        """The context for each stage: one without a context has none, unless all are without."""
        return tuple(context if stage.context_dim or not self.context_dim else None for stage in self.stages)

    def event(self, x: ArrayLike) -> Array:
        """The datum as floating point in the model's shape, checked; uint8 pixels are scaled to [0, 1]."""
        x, shape = jnp.asarray(x), self.event_shape
        if x.size != math.prod(shape):
            entries = f"{math.prod(shape)} entries"
            raise ValueError(f"x: expected one datum with {entries}, got shape {x.shape}; batch with jax.vmap")
        if x.dtype == jnp.uint8:
            x = x / 255.0
        elif not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"x: expected floating-point values or uint8 pixels, got {x.dtype}")
        return x.reshape(shape)

    def condition(self, context: Context) -> Array | None:
        """The context as a vector, checked: a label becomes a one-hot vector. `None` for an unconditional model."""
        name, dim = type(self).__name__, self.context_dim
        if not dim:
            if context is not None:
                raise ValueError(f"{name} has context_dim=0: expected context=None, got {_described(context)}")
            return None
        expected = f"a vector of {dim} numbers or a label below {dim}"
        if context is None:
            raise ValueError(f"{name} has context_dim={dim}: expected {expected}, got None")
        context = jnp.asarray(context)
        if context.ndim == 0 and jnp.issubdtype(context.dtype, jnp.integer):
            known = (context >= 0) & (context < dim)  # an unknown label must not pass for no label
            context = jnp.where(known, jax.nn.one_hot(context, dim), jnp.nan)
        if context.shape != (dim,):
            raise ValueError(f"context: expected {expected}, got shape {context.shape}")
        return context


def _described(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return repr(value) if shape is None else f"{dtype} of shape {shape}"
