"""Fully connected networks."""

import math
from typing import Any

import jax
from flax import nnx

from vaejax.networks.network import ACTIVATIONS, FlaxNetwork, flat, require_activation, require_sizes
from vaejax.recipes import static

__all__ = ["MLP", "Linear", "ResidualMLP"]


class _Dense(nnx.Module):
    def __init__(self, recipe: "MLP", rngs: nnx.Rngs):
        self.recipe = recipe
        for i, (fan_in, fan_out) in enumerate(zip(recipe.sizes[:-1], recipe.sizes[1:], strict=True)):
            setattr(self, f"layer{i}", nnx.Linear(fan_in, fan_out, rngs=rngs))

    def __call__(self, *inputs: jax.Array) -> jax.Array:
        h = flat(inputs, self.recipe.sizes[0], "MLP")
        last = len(self.recipe.sizes) - 2
        for i in range(last + 1):
            h = getattr(self, f"layer{i}")(h)
            h = ACTIVATIONS[self.recipe.activation](h) if i < last or self.recipe.activate_output else h
        return h if self.recipe.out_shape is None else h.reshape(self.recipe.out_shape)


@static
class MLP(FlaxNetwork):
    r"""Linear layers with an activation between them, $h_{i+1} = a(W_i h_i + b_i)$.

    The inputs are flattened and joined, so that an image and a context go in as they are.

    Attributes:
      sizes: numbers of units, inputs first, outputs last.
      activation: `"relu"`, `"leaky_relu"`, `"elu"`, `"gelu"`, `"silu"`, `"softplus"` or `"tanh"`.
      out_shape: shape of the output; `None` for a vector.
      activate_output: apply the activation to the last layer too, for a trunk that others stand on.

    >>> import jax
    >>> network = MLP((64, 32, 10))
    >>> network.apply(network.init(jax.random.key(0)), jax.numpy.zeros((8, 8, 1))).shape
    (10,)
    """

    sizes: tuple[int, ...]
    activation: str = "relu"
    out_shape: tuple[int, ...] | None = None
    activate_output: bool = False

    def __post_init__(self):
        """Check the sizes."""
        require_sizes("sizes", self.sizes, 2)
        require_activation(self.activation)
        if self.out_shape is not None and math.prod(self.out_shape) != self.sizes[-1]:
            raise ValueError(f"out_shape: expected {self.sizes[-1]} entries, got shape {self.out_shape}")

    def build(self, rngs: nnx.Rngs) -> Any:
        """Build the module."""
        return _Dense(self, rngs)


def Linear(in_size: int, out_size: int, out_shape: tuple[int, ...] | None = None) -> MLP:  # noqa: N802
    """One affine map of the flattened inputs: an `MLP` without hidden layers.

    Args:
      in_size: number of inputs.
      out_size: number of outputs.
      out_shape: shape of the output; `None` for a vector.
    """
    return MLP((in_size, out_size), out_shape=out_shape)


class _DenseBlocks(nnx.Module):
    def __init__(self, recipe: "ResidualMLP", rngs: nnx.Rngs):
        self.recipe = recipe
        self.enter = nnx.Linear(recipe.in_size, recipe.width, rngs=rngs)
        for i in range(recipe.blocks):
            setattr(self, f"norm{i}", nnx.LayerNorm(recipe.width, rngs=rngs))
            setattr(self, f"widen{i}", nnx.Linear(recipe.width, recipe.width, rngs=rngs))
            setattr(self, f"add{i}", nnx.Linear(recipe.width, recipe.width, rngs=rngs))
        self.leave = nnx.Linear(recipe.width, recipe.out_size, rngs=rngs)

    def __call__(self, *inputs: jax.Array) -> jax.Array:
        activation = ACTIVATIONS[self.recipe.activation]
        h = self.enter(flat(inputs, self.recipe.in_size, "ResidualMLP"))
        for i in range(self.recipe.blocks):
            inner = activation(getattr(self, f"widen{i}")(getattr(self, f"norm{i}")(h)))
            h = h + getattr(self, f"add{i}")(inner)
        h = self.leave(activation(h))
        return h if self.recipe.out_shape is None else h.reshape(self.recipe.out_shape)


@static
class ResidualMLP(FlaxNetwork):
    r"""Residual blocks between two linear layers, $h \leftarrow h + W_2\,a(W_1\,\mathrm{norm}(h))$.

    Attributes:
      in_size: number of inputs, flattened and joined.
      width: units of every block.
      blocks: number of blocks.
      out_size: number of outputs.
      activation: as in `MLP`.
      out_shape: shape of the output; `None` for a vector.
    """

    in_size: int
    width: int
    blocks: int
    out_size: int
    activation: str = "silu"
    out_shape: tuple[int, ...] | None = None

    def __post_init__(self):
        """Check the sizes."""
        require_sizes("in_size, width, blocks, out_size", (self.in_size, self.width, self.blocks, self.out_size), 4)
        require_activation(self.activation)

    def build(self, rngs: nnx.Rngs) -> Any:
        """Build the module."""
        return _DenseBlocks(self, rngs)
