"""Convolutional encoders and decoders of images H x W x C of any size."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from vaejax.networks.network import ACTIVATIONS, FlaxNetwork, flat, require_activation, require_sizes
from vaejax.networks.patches import Conv
from vaejax.recipes import static

__all__ = ["ConvDecoder", "ConvEncoder", "squares"]


def _halves(height: int, width: int, stages: int) -> list[tuple[int, int]]:
    """Heights and widths of the stages of an encoder, the image first."""
    sizes = [(height, width)]
    for _ in range(stages):
        height, width = -(-height // 2), -(-width // 2)
        sizes.append((height, width))
    return sizes


def squares(h: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Four channels become a square of 2 x 2 pixels, a transposed convolution without its dilation; cut to size."""
    height, width, depth = h.shape
    if any(n not in (2 * m - 1, 2 * m) for n, m in zip(size, (height, width), strict=True)):
        raise ValueError(f"expected a size of about {(2 * height, 2 * width)}, got {size}")
    h = h.reshape(height, width, 2, 2, depth // 4).transpose(0, 2, 1, 3, 4).reshape(2 * height, 2 * width, -1)
    return h[: size[0], : size[1]]


def _norm(channels: int, rngs: nnx.Rngs) -> nnx.Module:
    """Normalisation over all of one datum, with a scale and a shift for each channel."""
    return nnx.LayerNorm(channels, reduction_axes=(-3, -2, -1), rngs=rngs)


class _Residual(nnx.Module):
    """h + conv(a(conv(a(norm(h)))))."""

    def __init__(self, channels: int, activation: str, rngs: nnx.Rngs):
        self.activation = activation
        self.norm = _norm(channels, rngs)
        self.first = Conv(channels, channels, 3, rngs=rngs)
        self.second = Conv(channels, channels, 3, rngs=rngs)

    def __call__(self, h: jax.Array) -> jax.Array:
        a = ACTIVATIONS[self.activation]
        return h + self.second(a(self.first(a(self.norm(h)))))


class _Encoder(nnx.Module):
    def __init__(self, recipe: "ConvEncoder", rngs: nnx.Rngs):
        self.recipe = recipe
        height, width, depth = recipe.data_shape
        depth += recipe.context_dim
        for i, channels in enumerate(recipe.channels):
            setattr(self, f"conv{i}", Conv(depth, channels, 4, 2, rngs=rngs))
            setattr(self, f"norm{i}", _norm(channels, rngs))
            for j in range(recipe.blocks):
                setattr(self, f"block{i}_{j}", _Residual(channels, recipe.activation, rngs))
            depth = channels
        height, width = _halves(height, width, len(recipe.channels))[-1]
        self.leave = nnx.Linear(height * width * depth, recipe.out_size, rngs=rngs)

    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        shape = self.recipe.data_shape
        if x.size != shape[0] * shape[1] * shape[2]:
            raise ValueError(f"ConvEncoder: expected an image of shape {shape}, got {x.shape}")
        h = x.reshape(shape)
        if context is not None:
            plane = flat((context,), self.recipe.context_dim, "ConvEncoder's context")
            h = jnp.concatenate([h, jnp.broadcast_to(plane, (*shape[:2], plane.size))], -1)
        for i in range(len(self.recipe.channels)):
            h = ACTIVATIONS[self.recipe.activation](getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(h)))
            for j in range(self.recipe.blocks):
                h = getattr(self, f"block{i}_{j}")(h)
        return self.leave(h.reshape(-1))


@static
class ConvEncoder(FlaxNetwork):
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
    activation: str = "silu"

    def __post_init__(self):
        """Check the sizes."""
        _require_image("data_shape", self.data_shape)
        require_sizes("channels", self.channels, 1)
        require_activation(self.activation)

    def build(self, rngs: nnx.Rngs) -> Any:
        """Build the module."""
        return _Encoder(self, rngs)


class _Decoder(nnx.Module):
    def __init__(self, recipe: "ConvDecoder", rngs: nnx.Rngs):
        self.recipe = recipe
        height, width, out = recipe.out_shape
        self.sizes = tuple(reversed(_halves(height, width, len(recipe.channels))))
        depth = recipe.channels[0]
        self.enter = nnx.Linear(recipe.in_size, self.sizes[0][0] * self.sizes[0][1] * depth, rngs=rngs)
        for i, after in enumerate((*recipe.channels[1:], out)):
            for j in range(recipe.blocks):
                setattr(self, f"block{i}_{j}", _Residual(depth, recipe.activation, rngs))
            setattr(self, f"norm{i}", _norm(depth, rngs))
            setattr(self, f"conv{i}", Conv(depth, 4 * after, 3, rngs=rngs))
            depth = after

    def __call__(self, *inputs: jax.Array) -> jax.Array:
        h = self.enter(flat(inputs, self.recipe.in_size, "ConvDecoder"))
        h = h.reshape(*self.sizes[0], -1)
        for i in range(len(self.recipe.channels)):
            for j in range(self.recipe.blocks):
                h = getattr(self, f"block{i}_{j}")(h)
            h = getattr(self, f"conv{i}")(ACTIVATIONS[self.recipe.activation](getattr(self, f"norm{i}")(h)))
            h = squares(h, self.sizes[i + 1])
        return h


@static
class ConvDecoder(FlaxNetwork):
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
    activation: str = "silu"

    def __post_init__(self):
        """Check the sizes."""
        _require_image("out_shape", self.out_shape)
        require_sizes("channels", self.channels, 1)
        require_activation(self.activation)

    def build(self, rngs: nnx.Rngs) -> Any:
        """Build the module."""
        return _Decoder(self, rngs)


def _require_image(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or any(not isinstance(size, int) or size < 1 for size in shape):
        raise ValueError(f"{name}: expected (height, width, channels), got {shape}")
