"""What a head is."""

import abc
import math
from typing import Any

import jax
import jax.numpy as jnp

from vaejax.distributions import Distribution

__all__ = ["Head", "parts", "positive", "require_floor", "with_floor"]


class Head(abc.ABC):
    """The recipe of a distribution over events, read from a network's output.

    Attributes:
      support: `(least, greatest)` value of the data, or `None` for the real line.
      levels: number of grey values on a grid over [0, 1], for a probability of them, or `None`.
      binary: whether only zeros and ones have a likelihood.
      width: numbers that the network gives for each entry of an event.
      scale: how a Gaussian's standard deviation is set: a number, a `types.Scale`, or `None` for other heads.
      floor: the least such deviation.
    """

    support: tuple[float, float] | None = None
    levels: Any = None
    binary: Any = False
    width: Any = 1
    scale: Any = None
    floor: Any = 0.0

    def init(self, key: jax.Array, event_shape: tuple[int, ...]) -> dict[str, Any]:
        """Parameters that the head has beside the network's output."""
        return {}

    @abc.abstractmethod
    def apply(self, params: dict[str, Any], output: jax.Array) -> Distribution:
        """The distribution of one event."""

    def event_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the events that an output of this shape describes."""
        if not output_shape or output_shape[-1] % self.width:
            wanted = f"{self} reads {self.width} numbers for each entry of the data from the output's last axis"
            raise ValueError(f"{wanted}: expected a multiple of {self.width} there, got shape {output_shape}")
        return (*output_shape[:-1], output_shape[-1] // self.width)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape that a network's output needs for events of this shape."""
        return (*event_shape[:-1], event_shape[-1] * self.width)


def parts(output: jax.Array, width: int) -> list[jax.Array]:
    """The parameters, each in the shape of the event."""
    split = output.reshape(*output.shape[:-1], width, output.shape[-1] // width)
    return [split[..., i, :] for i in range(width)]


def positive(raw: jax.Array) -> jax.Array:
    """Softplus, one at zero: as the exponential for small scales, linear for large ones."""
    return jax.nn.softplus(raw + math.log(math.e - 1.0))


def require_floor(floor: Any) -> None:
    """Raise `ValueError` unless `floor` is a standard deviation, or none."""
    if isinstance(floor, bool) or not isinstance(floor, int | float) or not floor >= 0:
        raise ValueError(f"floor: expected a non-negative standard deviation, got {floor!r}")


def with_floor(scale: jax.Array, floor: float) -> jax.Array:
    """The scale with the variance of the floor added."""
    return jnp.sqrt(scale**2 + floor**2) if floor else scale
