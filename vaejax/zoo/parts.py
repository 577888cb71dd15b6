"""Parts of the zoo's builders: sizes of a datum, and the networks from a datum to vectors and back."""

import dataclasses
import math
import operator
from collections.abc import Sequence
from typing import TypeAlias

from vaejax import objectives
from vaejax.heads import Head
from vaejax.networks import MLP, ConvDecoder, ConvEncoder, Network
from vaejax.objectives import Objective
from vaejax.types import Activation

__all__ = ["WARM_UP", "Coders", "DataShape", "image_sizes", "sizes_of", "warmed"]

DataShape: TypeAlias = int | tuple[int, ...]
WARM_UP = 0.15  # share of the steps in which the weight of the divergence rises


def warmed(head: Head, share: float = WARM_UP) -> Objective:
    """The bound for this likelihood, with a weight of the divergence that rises over a share of the steps."""
    return objectives.warm_up(share, objectives.optimal_sigma() if head.scale == "optimal" else None)


def sizes_of(data_shape: DataShape) -> tuple[int, ...]:
    """The shape of a datum as a tuple of positive integers."""
    sizes: Sequence = data_shape if isinstance(data_shape, tuple | list) else (data_shape,)
    try:
        shape = tuple(map(operator.index, sizes))
    except TypeError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ValueError(f"data_shape: expected positive sizes, got {data_shape!r}")
    return shape


def image_sizes(data_shape: DataShape) -> tuple[int, int, int]:
    """Height, width and channels."""
    shape = sizes_of(data_shape)
    if len(shape) != 3:
        raise ValueError(f"data_shape: expected (height, width, channels), got {shape}")
    return shape


@dataclasses.dataclass(frozen=True)
class Coders:
    """Networks from a datum and a context to a vector and back: convolutions where there are channels."""

    data_shape: DataShape
    head: Head
    context_dim: int
    hidden: tuple[int, ...] = ()
    activation: Activation = "relu"
    channels: tuple[int, ...] = ()
    blocks: int = 0

    @property
    def in_size(self) -> int:
        """Entries of a datum and a context."""
        return math.prod(sizes_of(self.data_shape)) + self.context_dim

    def encoder(self, out_size: int) -> Network:
        """From a datum to a vector of this length."""
        if self.channels:
            image = image_sizes(self.data_shape)
            return ConvEncoder(image, tuple(self.channels), out_size, self.context_dim, self.blocks)
        return MLP((self.in_size, *self.hidden, out_size), self.activation)

    def decoder(self, latent_dim: int) -> Network:
        """From a vector of this length to the numbers that the head reads."""
        out, in_size = self.head.output_shape(sizes_of(self.data_shape)), latent_dim + self.context_dim
        if self.channels:
            return ConvDecoder(in_size, tuple(self.channels)[::-1], image_sizes(out), self.blocks)
        return MLP((in_size, *self.hidden[::-1], math.prod(out)), self.activation, out_shape=out)
