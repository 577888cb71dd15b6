"""Convolutional encoders and decoders of images H x W x C of any size."""

import jax.numpy as jnp
from flax import nnx

from vaejax.checks import require_choice, require_image, require_integer, require_sizes
from vaejax.networks.layers import Conv, norm, squares
from vaejax.networks.network import ACTIVATIONS, FlaxNetwork, Modules, flat
from vaejax.recipes import static
from vaejax.types import Activation, Array

__all__ = ["ConvDecoder", "ConvEncoder"]


def _halves(height: int, width: int, stages: int) -> list[tuple[int, int]]:
    """Heights and widths of the stages of an encoder, the image first."""
    sizes = [(height, width)]
    for _ in range(stages):
        height, width = -(-height // 2), -(-width // 2)
        sizes.append((height, width))
    return sizes


class _Stages(FlaxNetwork):
    """Stages with residual blocks, h + conv(a(conv(a(norm(h)))))."""

    channels: tuple[int, ...]
    blocks: int
    activation: Activation

    def __post_init__(self):
        require_sizes("channels", self.channels)
        require_integer("blocks", self.blocks, 0)
        require_choice("activation", self.activation, ACTIVATIONS)

    def _build_blocks(self, i: int, channels: int, rngs: nnx.Rngs) -> Modules:
        shape = (3, 3, channels, channels)
        return {
            f"block{i}_{j}": {"norm": norm(channels, rngs), "first": Conv(shape, rngs), "second": Conv(shape, rngs)}
            for j in range(self.blocks)
        }

    def _call_blocks(self, modules: Modules, i: int, h: Array) -> Array:
        a = ACTIVATIONS[self.activation]
        for j in range(self.blocks):
            block = modules[f"block{i}_{j}"]
            h = h + block["second"](a(block["first"](a(block["norm"](h)))))
        return h


@static
class ConvEncoder(_Stages):
    """Stages of a convolution with stride 2, normalisation over the datum, and an activation.

    A context enters as constant planes beside the image. Papers used BatchNorm in this place: a
    network of one datum has no batch.

    Attributes:
      data_shape: (H, W, C) of the image.
      channels: of each stage; the image is halved at each, rounded up.
      out_size: number of outputs.
      context_dim: length of the context; 0 for none.
      blocks: residual blocks after each stage.
      activation: as in `MLP`.
    """

    data_shape: tuple[int, int, int]
    channels: tuple[int, ...]
    out_size: int
    context_dim: int = 0
    blocks: int = 0
    activation: Activation = "silu"

    def __post_init__(self):
        require_image("data_shape", self.data_shape)
        super().__post_init__()

    def build(self, rngs: nnx.Rngs) -> Modules:
        height, width, depth = self.data_shape
        modules: Modules = {}
        depth += self.context_dim
        for i, channels in enumerate(self.channels):
            modules[f"conv{i}"] = Conv((4, 4, depth, channels), rngs, stride=2)
            modules[f"norm{i}"] = norm(channels, rngs)
            modules |= self._build_blocks(i, channels, rngs)
            depth = channels
        height, width = _halves(height, width, len(self.channels))[-1]
        return modules | {"leave": nnx.Linear(height * width * depth, self.out_size, rngs=rngs)}

    def call(self, modules: Modules, *inputs: Array) -> Array:
        x, *context = inputs
        height, width, depth = self.data_shape
        if x.size != height * width * depth:
            raise ValueError(f"ConvEncoder: expected an image of shape {self.data_shape}, got {x.shape}")
        h = x.reshape(self.data_shape)
        if context:
            plane = flat(context, self.context_dim, "ConvEncoder's context")
            h = jnp.concatenate([h, jnp.broadcast_to(plane, (height, width, plane.size))], -1)
        for i in range(len(self.channels)):
            h = ACTIVATIONS[self.activation](modules[f"norm{i}"](modules[f"conv{i}"](h)))
            h = self._call_blocks(modules, i, h)
        return modules["leave"](h.reshape(-1))


@static
class ConvDecoder(_Stages):
    """The way back: a linear layer, then stages of a convolution that doubles height and width.

    Attributes:
      in_size: number of inputs, flattened and joined: latents and context.
      channels: before each stage, the deepest first; an encoder's reversed.
      out_shape: (H, W, C) of the output; C counts all parameters of a pixel.
      blocks: residual blocks before each stage.
      activation: as in `MLP`.
    """

    in_size: int
    channels: tuple[int, ...]
    out_shape: tuple[int, int, int]
    blocks: int = 0
    activation: Activation = "silu"

    def __post_init__(self):
        require_image("out_shape", self.out_shape)
        super().__post_init__()

    @property
    def _sizes(self) -> list[tuple[int, int]]:
        return _halves(*self.out_shape[:2], len(self.channels))[::-1]

    def build(self, rngs: nnx.Rngs) -> Modules:
        (height, width), depth = self._sizes[0], self.channels[0]
        modules: Modules = {"enter": nnx.Linear(self.in_size, height * width * depth, rngs=rngs)}
        for i, after in enumerate((*self.channels[1:], self.out_shape[-1])):
            modules |= self._build_blocks(i, depth, rngs)
            modules[f"norm{i}"] = norm(depth, rngs)
            modules[f"conv{i}"] = Conv((3, 3, depth, 4 * after), rngs)
            depth = after
        return modules

    def call(self, modules: Modules, *inputs: Array) -> Array:
        first, *sizes = self._sizes
        h = modules["enter"](flat(inputs, self.in_size, "ConvDecoder")).reshape(*first, -1)
        for i, size in enumerate(sizes):
            h = self._call_blocks(modules, i, h)
            h = modules[f"conv{i}"](ACTIVATIONS[self.activation](modules[f"norm{i}"](h)))
            h = squares(h, size)
        return h
