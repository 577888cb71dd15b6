"""What models whose likelihood is the head of a network have in common."""

import abc
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.distributions import Distribution
from vaejax.heads import Head
from vaejax.models.model import LatentModel, Params, flat_event
from vaejax.networks import Network

__all__ = ["Headed", "output_shape", "require_kind", "set_fields"]


class Headed(LatentModel):
    """What models with a likelihood head and a context share, whatever their latents are."""

    likelihood_head: Head
    context_dim: int

    @functools.cached_property
    @abc.abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Shape of a datum, as the decoder and the likelihood say it."""

    @property
    def support(self) -> tuple[float, float] | None:
        """Range of the data that the likelihood allows."""
        return self.likelihood_head.support

    @property
    def levels(self) -> int | None:
        """Number of grey values that the likelihood counts, or `None`."""
        return self.likelihood_head.levels

    @property
    def binary(self) -> bool:
        """Whether the likelihood is one of zeros and ones only."""
        return self.likelihood_head.binary

    @property
    def scale(self) -> float | str | None:
        return self.likelihood_head.scale

    @property
    def scale_floor(self) -> float:
        return self.likelihood_head.floor

    def extra(self, context: Any, dtype: Any = float) -> tuple[jax.Array, ...]:
        """What networks are given beside x or z: the context, where the model has one.

        An integer label becomes a one-hot vector.
        """
        name = type(self).__name__
        if not self.context_dim:
            if context is not None:
                raise ValueError(f"{name} has context_dim=0: expected context=None, got {context!r}")
            return ()
        wanted = f"a vector of {self.context_dim} numbers or a label below {self.context_dim}"
        if context is None:
            raise ValueError(f"{name} has context_dim={self.context_dim}: expected {wanted}, got None")
        context = jnp.asarray(context)
        if context.ndim == 0 and jnp.issubdtype(context.dtype, jnp.integer):
            known = (context >= 0) & (context < self.context_dim)  # an unknown label must not pass for no label
            context = jnp.where(known, jax.nn.one_hot(context, self.context_dim, dtype=dtype), jnp.nan)
        if context.shape != (self.context_dim,):
            raise ValueError(f"context: expected {wanted}, got shape {context.shape}")
        return (context.astype(dtype),)

    def emitted(self, params: Params, output: jax.Array) -> Distribution:
        """The likelihood's distribution, from the decoder's output."""
        return self.likelihood_head.apply(params.get("likelihood", {}), output)

    def event(self, x: jax.Array) -> jax.Array:
        """The datum as floating point in the model's shape; uint8 pixels are scaled to [0, 1]."""
        return flat_event(x, math.prod(self.event_shape)).reshape(self.event_shape)


@functools.cache
def output_shape(network: Network, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a network's output for inputs of these shapes."""
    weights = jax.eval_shape(network.init, jax.random.key(0))
    return jax.eval_shape(network.apply, weights, *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)).shape


def set_fields(model: Any, **fields: Any) -> None:
    """Set the fields of a frozen dataclass from its own `__init__`."""
    for name, value in fields.items():
        object.__setattr__(model, name, value)


def require_kind(name: str, value: Any, kind: type) -> Any:
    """Raise `TypeError` unless `value` is of this kind; return it."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a vaejax {kind.__name__}, got {type(value).__name__}")
    return value
