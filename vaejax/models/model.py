"""One interface for every latent-variable model: a prior, a likelihood and a posterior."""

import abc
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.distributions import After, Distribution, Guide
from vaejax.types import Params

__all__ = ["LatentModel", "Params", "flat_event", "require_at_least"]


class LatentModel(abc.ABC):
    """A latent-variable model as pure functions of its parameters.

    Subclasses are final frozen dataclasses that hold no arrays (decorated with `vaejax.recipes.static`),
    so they pass through `jax.jit` and `jax.vmap` as they are. Each says its event's shape and three functions;
    everything else (`elbo`, `importance_bound`, `log_evidence`, `sample`, ...) is derived from them once.

    Arguments that all functions of models share:
      model: a `LatentModel`.
      params: its parameters, a nested dict of arrays as `model.init(key)` gives.
      key: a PRNG key, `jax.random.key(seed)`.
      x: one datum, or rows (N, ...) in `vaejax.evaluate`: floats in the form that the likelihood scores, or uint8
        pixels, which are scaled to [0, 1].
      context: the condition of a model with a `context_dim`: a label or a vector, one for each datum.
      progress: show a bar, on a terminal or in a notebook.

    Attributes:
      context_dim: length of the context; 0 for an unconditional model.
      support: `(least, greatest)` value of the data, or `None` for the real line.
      levels: number of grey values on a grid over [0, 1] where the likelihood is a probability of them, or `None`.
      binary: whether only zeros and ones have a likelihood; the score of other values is none.
      objective: default of `vaejax.fit`; `None` is `objectives.for_model`'s choice.
      has_density: whether the model has a density p(x) at all.
      has_evidence: whether `marginal` gives it in closed form.
      num_components: number of classes of a mixture, or `None`.
      num_parameters: number of free parameters for BIC and AIC, or `None` where they mean nothing.
      scale: the standard deviation of a Gaussian likelihood: a number where it is fixed, how it is learned
        (`"shared"`, `"optimal"`, `"per_pixel_constant"`, `"per_pixel"`), or `None` for other likelihoods.
      scale_floor: the least such deviation.
      em_step: the EM step that the model brings (`vaejax.em`), or `None`.
    """

    context_dim: Any = 0
    support: Any = None
    levels: Any = None
    binary: Any = False
    objective: Any = None
    has_density: bool = True
    has_evidence: bool = False
    num_components: Any = None
    num_parameters: Any = None
    scale: Any = None
    scale_floor: Any = 0.0
    em_step: Any = None

    @property
    @abc.abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one datum as the likelihood scores it."""

    @abc.abstractmethod
    def init(self, key: jax.Array) -> Params:
        """Draw initial parameters, a nested dict of arrays."""

    @abc.abstractmethod
    def prior(self, params: Params, context: Any = None) -> Distribution:
        """p(z | context)."""

    @abc.abstractmethod
    def likelihood(self, params: Params, h: Any, context: Any = None) -> Distribution:
        """p(x | h, context): h is z itself in a flat model, the last top-down state in a hierarchy."""

    @abc.abstractmethod
    def posterior(self, params: Params, x: jax.Array, context: Any = None) -> Distribution | Guide | After:
        """p(z | x) where it is exact, else q(z | x, context)."""

    def marginal(self, params: Params, context: Any = None) -> Distribution:
        """p(x | context) in closed form, for the models that have one."""
        raise TypeError(
            f"{type(self).__name__} has no evidence in closed form: estimate it with vaejax.importance_bound"
        )

    def event(self, x: jax.Array) -> jax.Array:
        """The datum in the form that the likelihood scores, checked."""
        return x


def flat_event(x: jax.Array, dim: int) -> jax.Array:
    """One datum as a vector: images are flattened, uint8 pixels scaled to [0, 1]."""
    x = jnp.asarray(x)
    if x.size != dim:
        raise ValueError(f"x: expected one datum with {dim} entries, got shape {x.shape}; batch with jax.vmap")
    if x.dtype == jnp.uint8:
        x = x / 255.0
    elif not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x: expected floating-point values or uint8 pixels, got {x.dtype}")
    return x.reshape(dim)


def require_at_least(name: str, value: Any, least: int) -> None:
    """Raise `ValueError` unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")


def require_no_context(model: LatentModel, context: Any) -> None:
    """Raise `ValueError` where an unconditional model is given a context."""
    if context is not None:
        raise ValueError(f"{type(model).__name__} is unconditional: expected context=None, got {context!r}")
