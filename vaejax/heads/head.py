"""Heads: recipes that read a distribution from a network's output."""

import abc
import itertools
import math

import jax
import jax.numpy as jnp

from vaejax.distributions import Distribution
from vaejax.types import Array, ArrayLike, Key, Params, Scale

__all__ = ["EntryHead", "Head", "VectorHead", "deviation", "raw_deviation", "with_floor"]


class Head(abc.ABC):
    """The recipe of a distribution over events, read from a network's output.

    Attributes:
      support: `(least, greatest)` value of the data, or `None` for the real line.
      levels: number of grey values on a grid over [0, 1], for a probability of them, or `None`.
      scale: how a Gaussian's standard deviation is set: a number, a `types.Scale`, or `None` for other heads.
      floor: the least such deviation.
    """

    support: tuple[float, float] | None = None
    levels: int | None = None
    scale: float | Scale | None = None
    floor: float = 0.0

    @property
    def binary(self) -> bool:
        """Whether only zeros and ones have a likelihood."""
        return False

    def init(self, key: Key, event_shape: tuple[int, ...]) -> Params:
        """Parameters that the head has beside the network's output."""
        return {}

    def from_data(self, params: Params, mean: Array, deviation: Array) -> tuple[Array, Params]:
        """Output of a network that knows nothing of z, for data with these moments, and the head's parameters then.

        Args:
          params: the head's parameters, as `init` draws them.
          mean: of each entry of the event, within the support.
          deviation: of each entry, positive.
        """
        return jnp.zeros(self.output_shape(mean.shape), mean.dtype), params

    @abc.abstractmethod
    def apply(self, params: Params, output: Array) -> Distribution:
        """The distribution of one event."""

    @abc.abstractmethod
    def event_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the events that an output of this shape describes."""

    @abc.abstractmethod
    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape that a network's output needs for events of this shape."""


class EntryHead(Head):
    """A head that reads a fixed number of parameters for each entry of an event, from the output's last axis."""

    @property
    def per_entry(self) -> int:
        """Number of parameters for each entry."""
        return 1

    def event_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        n = self.per_entry
        if not output_shape or output_shape[-1] % n:
            reads = f"{self} reads {n} numbers for each entry of the data from the output's last axis"
            raise ValueError(f"{reads}: expected a multiple of {n} there, got shape {output_shape}")
        return (*output_shape[:-1], output_shape[-1] // n)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*event_shape[:-1], event_shape[-1] * self.per_entry)

    def parts(self, output: Array) -> list[Array]:
        """The parameters, each in the shape of the event."""
        split = output.reshape(*output.shape[:-1], self.per_entry, -1)
        return [split[..., i, :] for i in range(self.per_entry)]


class VectorHead(Head):
    """A head of vectors, whose output is a vector too; an event of another shape is flattened."""

    @abc.abstractmethod
    def size(self, dim: int) -> int:
        """Length of the output for vectors of length `dim`."""

    def event_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        size = math.prod(output_shape)
        dim = next(dim for dim in itertools.count(1) if self.size(dim) >= size)
        if len(output_shape) != 1 or self.size(dim) != size:
            shapes = ", ".join(f"({self.size(dim)},)" for dim in range(1, 5))
            raise ValueError(f"{self}: expected an output of shape {shapes}, ..., got {output_shape}")
        return (dim,)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self.size(math.prod(event_shape)),)


def deviation(raw: Array, floor: float) -> Array:
    """A standard deviation: softplus, one at zero, as the exponential for small scales and linear for large ones."""
    return with_floor(jax.nn.softplus(raw + math.log(math.e - 1.0)), floor)


def raw_deviation(scale: ArrayLike) -> Array:
    """The number of which `deviation` without a floor makes this scale."""
    scale = jnp.asarray(scale)
    return scale + jnp.log(-jnp.expm1(-scale)) - math.log(math.e - 1.0)


def with_floor(scale: Array, floor: float) -> Array:
    """The scale with the variance of the floor added."""
    return jnp.sqrt(scale**2 + floor**2) if floor else scale
