"""The residual cells of deep hierarchies of images, and the convolutions between them."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from vaejax.networks.conv import squares
from vaejax.networks.network import ACTIVATIONS, FlaxNetwork, require_activation, require_sizes
from vaejax.networks.patches import convolve, convolve_depthwise
from vaejax.recipes import static

__all__ = ["Cell", "ConvLayer"]

KINDS = ("depthwise", "full")
_RESIDUAL = 0.1  # of the cell's output: a deep stack of fresh cells is then close to the identity
_NARROWER = 4  # of the squeezed channels that gate the others


class _Normalized(nnx.Module):
    r"""A convolution whose filters have a learned length, $g\,v/\|v\|$, and a bias."""

    def __init__(self, shape: tuple[int, ...], features: int, stride: int, rngs: nnx.Rngs, gain: float = 1.0):
        self.stride = stride
        self.direction = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), (*shape, features)))
        self.gain = nnx.Param(jnp.full(features, gain))
        self.bias = nnx.Param(jnp.zeros(features))

    def __call__(self, x: jax.Array) -> jax.Array:
        v = self.direction[...]
        length = jnp.sqrt(jnp.sum(v * v, tuple(range(v.ndim - 1))) + 1e-12)
        kernel = v * (self.gain[...] / length).reshape((1,) * (v.ndim - 1) + (-1,))
        out = convolve(x, kernel, self.stride) if v.ndim == 4 else convolve_depthwise(x, kernel)
        return out + self.bias[...][None, None, :]


def _conv(depth: int, features: int, size: int, rngs: nnx.Rngs, stride: int = 1, gain: float = 1.0) -> _Normalized:
    return _Normalized((size, size, depth), features, stride, rngs, gain)


def _norm(channels: int, rngs: nnx.Rngs) -> nnx.Module:
    return nnx.LayerNorm(channels, reduction_axes=(-3, -2, -1), rngs=rngs)


class _Cell(nnx.Module):
    def __init__(self, recipe: "Cell", rngs: nnx.Rngs):
        self.recipe = recipe
        c, wide = recipe.channels, recipe.channels * recipe.expand
        if recipe.kind == "full":
            parts = [(_norm(c, rngs), _conv(c, c, 3, rngs)), (_norm(c, rngs), _conv(c, c, 3, rngs))]
        else:
            parts = [
                (_norm(c, rngs), _conv(c, wide, 1, rngs)),
                (_norm(wide, rngs), _Normalized((5, 5), wide, 1, rngs)),
                (_norm(wide, rngs), _conv(wide, c, 1, rngs)),
            ]
        for i, (norm, conv) in enumerate(parts):
            setattr(self, f"norm{i}", norm)
            setattr(self, f"conv{i}", conv)
        self.squeeze = nnx.Linear(c, max(c // _NARROWER, 1), rngs=rngs)
        self.excite = nnx.Linear(max(c // _NARROWER, 1), c, rngs=rngs)

    def __call__(self, h: jax.Array) -> jax.Array:
        recipe = self.recipe
        if h.ndim != 3 or h.shape[-1] != recipe.channels:
            raise ValueError(f"Cell: expected an image with {recipe.channels} channels, got shape {h.shape}")
        activation, r = ACTIVATIONS[recipe.activation], h
        for i in range(2 if recipe.kind == "full" else 3):
            r = getattr(self, f"norm{i}")(r)
            # The first step of a depthwise cell widens a linear map: its nonlinearity comes where it is wide.
            r = getattr(self, f"conv{i}")(r if recipe.kind == "depthwise" and i == 0 else activation(r))
        gate = jax.nn.sigmoid(self.excite(activation(self.squeeze(jnp.mean(r, (0, 1))))))
        return h + _RESIDUAL * r * gate[None, None, :]


@static
class Cell(FlaxNetwork):
    r"""A residual cell of images, $h + 0.1\,\mathrm{gate}(r)\,r$, with r of two or three convolutions.

    `"depthwise"`, for the way down: 1 x 1 to `expand` times as many channels, 5 x 5 on each channel alone, 1 x 1 back.
    `"full"`, for the way up: twice 3 x 3. Before each stands a normalisation and an activation, and the
    mean over the image gates the channels.

    Filters have learned lengths (weight normalisation), which bounds how far a step changes what a cell does
    and needs no state; the paper's spectral regularisation carries vectors from step to step. Its BatchNorm is a
    normalisation over the datum here: a network of one datum has no batch.

    Attributes:
      channels: of the input and of the output.
      kind: `"depthwise"` or `"full"`.
      expand: as many times the channels inside a depthwise cell.
      activation: as in `MLP`.

    Reference: Vahdat and Kautz, 2020, figure 3; Salimans and Kingma, 2016 (weight normalisation).

    >>> import jax
    >>> cell = Cell(4, expand=2)
    >>> cell.apply(cell.init(jax.random.key(0)), jnp.ones((7, 7, 4))).shape
    (7, 7, 4)
    """

    channels: int
    kind: str = "depthwise"
    expand: int = 3
    activation: str = "silu"

    def __post_init__(self):
        """Check the sizes."""
        require_sizes("channels, expand", (self.channels, self.expand), 2)
        require_activation(self.activation)
        if self.kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")

    def build(self, rngs: nnx.Rngs) -> Any:
        """Build the module."""
        return _Cell(self, rngs)


class _ConvLayer(nnx.Module):
    def __init__(self, recipe: "ConvLayer", rngs: nnx.Rngs):
        self.recipe = recipe
        features = recipe.out_channels * (4 if recipe.double_to else 1)
        self.conv = _conv(recipe.in_channels, features, recipe.size, rngs, recipe.stride, recipe.gain)

    def __call__(self, *inputs: jax.Array) -> jax.Array:
        recipe = self.recipe
        images = [each for each in inputs if each.ndim == 3]
        if not images:
            raise ValueError(f"ConvLayer: expected an image among its inputs, got {[each.shape for each in inputs]}")
        height, width, _ = images[0].shape
        planes = [x if x.ndim == 3 else jnp.broadcast_to(jnp.ravel(x), (height, width, x.size)) for x in inputs]
        depths = [plane.shape[-1] for plane in planes]
        if sum(depths) != recipe.in_channels or any(plane.shape[:2] != (height, width) for plane in planes):
            wanted = f"images of one size with {recipe.in_channels} channels in all"
            raise ValueError(f"ConvLayer: expected {wanted}, got shapes {[each.shape for each in inputs]}")
        h = jnp.concatenate(planes, -1)
        h = self.conv(ACTIVATIONS[recipe.activation](h) if recipe.activation else h)
        return squares(h, recipe.double_to) if recipe.double_to else h


@static
class ConvLayer(FlaxNetwork):
    """One convolution of images joined along their channels; a vector among them is spread over the image.

    Attributes:
      in_channels: channels of all inputs together.
      out_channels: channels of the output.
      size: of the square filters, which have learned lengths as in `Cell`.
      stride: 2 halves height and width, rounded up.
      double_to: (H, W) of an output that is twice as high and wide, or one less; `None` keeps the size.
      activation: before the convolution, as in `MLP`, or `None`.
      gain: length of the filters at the start; small where the output should start small, not zero.
    """

    in_channels: int
    out_channels: int
    size: int = 3
    stride: int = 1
    double_to: tuple[int, int] | None = None
    activation: str | None = None
    gain: float = 1.0

    def __post_init__(self):
        """Check the sizes."""
        require_sizes("in_channels, out_channels, size, stride", (self.in_channels, self.out_channels, self.size), 3)
        require_sizes("stride", (self.stride,), 1)
        if self.double_to is not None and (self.stride != 1 or len(self.double_to) != 2):
            raise ValueError(f"double_to: expected (height, width) and stride 1, got {self.double_to}, {self.stride}")
        if self.activation is not None:
            require_activation(self.activation)

    def build(self, rngs: nnx.Rngs) -> Any:
        """Build the module."""
        return _ConvLayer(self, rngs)
