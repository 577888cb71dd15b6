"""The residual cells of deep hierarchies of images, and the convolutions between them."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from vaejax.checks import require_choice, require_sizes
from vaejax.networks.layers import NormalizedConv, norm, squares
from vaejax.networks.network import ACTIVATIONS, FlaxNetwork, Modules
from vaejax.recipes import static
from vaejax.types import Activation, Array

__all__ = ["Cell", "ConvLayer"]

_RESIDUAL = 0.1  # of the cell's output: a deep stack of fresh cells is then close to the identity
_NARROWER = 4  # of the squeezed channels that gate the others


@static
class Cell(FlaxNetwork):
    r"""A residual cell of images, $h + 0.1\,\mathrm{gate}(r)\,r$, with r of two or three convolutions.

    `"depthwise"`, for the way down: 1 x 1 to `expand` times as many channels, 5 x 5 on each channel alone, 1 x 1 back.
    `"full"`, for the way up: twice 3 x 3. Before each stands a normalisation and an activation, and the
    mean over the image gates the channels.

    Filters have learned lengths (weight normalisation), which bounds how far a step of training changes a cell
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
    kind: Literal["depthwise", "full"] = "depthwise"
    expand: int = 3
    activation: Activation = "silu"

    def __post_init__(self):
        require_sizes("channels, expand", (self.channels, self.expand), 2)
        require_choice("activation", self.activation, ACTIVATIONS)
        require_choice("kind", self.kind, ("depthwise", "full"))

    def build(self, rngs: nnx.Rngs) -> Modules:
        c, wide, narrow = self.channels, self.channels * self.expand, max(self.channels // _NARROWER, 1)
        full, depthwise = [(3, 3, c, c), (3, 3, c, c)], [(1, 1, c, wide), (5, 5, wide), (1, 1, wide, c)]
        modules: Modules = {}
        for i, shape in enumerate(full if self.kind == "full" else depthwise):
            modules[f"norm{i}"] = norm(shape[2], rngs)
            modules[f"conv{i}"] = NormalizedConv(shape, rngs)
        modules["squeeze"] = nnx.Linear(c, narrow, rngs=rngs)
        modules["excite"] = nnx.Linear(narrow, c, rngs=rngs)
        return modules

    def call(self, modules: Modules, *inputs: Array) -> Array:
        (h,) = inputs
        if h.ndim != 3 or h.shape[-1] != self.channels:
            raise ValueError(f"Cell: expected an image with {self.channels} channels, got shape {h.shape}")
        activation, r = ACTIVATIONS[self.activation], h
        for i in range(2 if self.kind == "full" else 3):
            r = modules[f"norm{i}"](r)
            # The first step of a depthwise cell widens a linear map: its nonlinearity comes where it is wide.
            r = modules[f"conv{i}"](r if self.kind == "depthwise" and i == 0 else activation(r))
        gate = jax.nn.sigmoid(modules["excite"](activation(modules["squeeze"](jnp.mean(r, (0, 1))))))
        return h + _RESIDUAL * r * gate[None, None]


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
    activation: Activation | None = None
    gain: float = 1.0

    def __post_init__(self):
        sizes = (self.in_channels, self.out_channels, self.size, self.stride)
        require_sizes("in_channels, out_channels, size, stride", sizes, 4)
        require_choice("activation", self.activation, (None, *ACTIVATIONS))
        if self.double_to is not None and (self.stride != 1 or len(self.double_to) != 2):
            raise ValueError(f"double_to: expected (height, width) and stride 1, got {self.double_to}, {self.stride}")

    def build(self, rngs: nnx.Rngs) -> Modules:
        features = self.out_channels * (4 if self.double_to else 1)
        shape = (self.size, self.size, self.in_channels, features)
        return {"conv": NormalizedConv(shape, rngs, self.stride, self.gain)}

    def call(self, modules: Modules, *inputs: Array) -> Array:
        shapes = [x.shape for x in inputs]
        sizes = {shape[:2] for shape in shapes if len(shape) == 3}
        if not sizes:
            raise ValueError(f"ConvLayer: expected an image among its inputs, got {shapes}")
        depth = sum(shape[-1] if len(shape) == 3 else math.prod(shape) for shape in shapes)
        if len(sizes) > 1 or depth != self.in_channels:
            images = f"images of one size with {self.in_channels} channels in all"
            raise ValueError(f"ConvLayer: expected {images}, got shapes {shapes}")
        (size,) = sizes
        h = jnp.concatenate([x if x.ndim == 3 else jnp.broadcast_to(jnp.ravel(x), (*size, x.size)) for x in inputs], -1)
        h = modules["conv"](ACTIVATIONS[self.activation](h) if self.activation else h)
        return squares(h, self.double_to) if self.double_to else h
