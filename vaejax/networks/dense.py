"""Fully connected networks: layers, residual blocks, and the masked autoencoder."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from vaejax.checks import require_choice, require_integer, require_sizes
from vaejax.networks.network import ACTIVATIONS, FlaxNetwork, Modules, Network, flat
from vaejax.recipes import static
from vaejax.types import Activation, Array, Key, Params

__all__ = ["MADE", "MLP", "Linear", "ResidualMLP", "as_sizes"]


def as_sizes(hidden: int | tuple[int, ...]) -> tuple[int, ...]:
    """Units of hidden layers, of one layer where it is a number."""
    return (hidden,) if isinstance(hidden, int) else hidden


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
    activation: Activation = "relu"
    out_shape: tuple[int, ...] | None = None
    activate_output: bool = False

    def __post_init__(self):
        require_sizes("sizes", self.sizes, 2)
        require_choice("activation", self.activation, ACTIVATIONS)
        if self.out_shape is not None and math.prod(self.out_shape) != self.sizes[-1]:
            raise ValueError(f"out_shape: expected {self.sizes[-1]} entries, got shape {self.out_shape}")

    def build(self, rngs: nnx.Rngs) -> Modules:
        return {f"layer{i}": nnx.Linear(*pair, rngs=rngs) for i, pair in enumerate(itertools.pairwise(self.sizes))}

    def call(self, modules: Modules, *inputs: Array) -> Array:
        h = flat(inputs, self.sizes[0], "MLP")
        last = len(modules) - 1
        for i in range(last + 1):
            h = modules[f"layer{i}"](h)
            h = ACTIVATIONS[self.activation](h) if i < last or self.activate_output else h
        return h if self.out_shape is None else h.reshape(self.out_shape)


def Linear(in_size: int, out_size: int, out_shape: tuple[int, ...] | None = None) -> MLP:  # noqa: N802
    """One affine map of the flattened inputs: an `MLP` without hidden layers.

    Args:
      in_size: number of inputs.
      out_size: number of outputs.
      out_shape: shape of the output; `None` for a vector.
    """
    return MLP((in_size, out_size), out_shape=out_shape)


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
    activation: Activation = "silu"
    out_shape: tuple[int, ...] | None = None

    def __post_init__(self):
        require_sizes("in_size, width, blocks, out_size", (self.in_size, self.width, self.blocks, self.out_size), 4)
        require_choice("activation", self.activation, ACTIVATIONS)

    def build(self, rngs: nnx.Rngs) -> Modules:
        modules: Modules = {"enter": nnx.Linear(self.in_size, self.width, rngs=rngs)}
        for i in range(self.blocks):
            modules[f"norm{i}"] = nnx.LayerNorm(self.width, rngs=rngs)
            modules[f"widen{i}"] = nnx.Linear(self.width, self.width, rngs=rngs)
            modules[f"add{i}"] = nnx.Linear(self.width, self.width, rngs=rngs)
        return modules | {"leave": nnx.Linear(self.width, self.out_size, rngs=rngs)}

    def call(self, modules: Modules, *inputs: Array) -> Array:
        activation = ACTIVATIONS[self.activation]
        h = modules["enter"](flat(inputs, self.in_size, "ResidualMLP"))
        for i in range(self.blocks):
            h = h + modules[f"add{i}"](activation(modules[f"widen{i}"](modules[f"norm{i}"](h))))
        h = modules["leave"](activation(h))
        return h if self.out_shape is None else h.reshape(self.out_shape)


@functools.cache
def _masks(dim: int, hidden: tuple[int, ...], outputs: int, context_dim: int) -> tuple[np.ndarray, ...]:
    """One mask a layer, shape (inputs, outputs), then that of the direct connections."""
    # A unit of degree m reads the entries below m. Degree 0 reads the context alone, and output i degrees up to i.
    degrees = [np.arange(units) * dim // units for units in hidden]
    inputs = np.concatenate([np.arange(1, dim + 1), np.zeros(context_dim, int)])
    targets = np.tile(np.arange(dim), outputs)
    before = [inputs, *degrees]
    after = [*degrees, targets]
    masks = [source[:, None] <= target[None] for source, target in zip(before, after, strict=True)]
    return *masks, inputs[:, None] <= targets[None]


@static
class MADE(Network):
    r"""A masked fully connected network: output i of each kind reads $z_{<i}$ and the context.

    $$h_{l+1} = a\big((M_l \odot W_l)^\top h_l + b_l\big), \qquad
    \text{out} = (M_L \odot W_L)^\top h_L + (M_D \odot W_D)^\top [z, c] + b_L$$

    Units have degrees 0 to `dim - 1`, evenly spread and in order, in every layer; the direct connections $W_D$ keep
    every dependence that is allowed, however few the hidden units are, and hold the linear flow. The masks are
    constants that the weights are multiplied with, once for a whole batch.

    Attributes:
      dim: length of z.
      hidden: units of the hidden layers.
      outputs: numbers for each entry of z.
      context_dim: length of a second input that all outputs read; 0 for none.
      activation: as in `MLP`.

    `apply(weights, z)`, or `apply(weights, z, context)`, has shape `(outputs, dim)`.

    Reference: Germain, Gregor, Murray and Larochelle, 2015, section 4.

    >>> network = MADE(3, (8,), outputs=1)
    >>> weights = network.init(jax.random.key(0))
    >>> jacobian = jax.jacfwd(lambda z: network.apply(weights, z)[0])(jnp.ones(3))
    >>> (jacobian != 0).astype(int).tolist()
    [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """

    dim: int
    hidden: tuple[int, ...]
    outputs: int = 2
    context_dim: int = 0
    activation: Activation = "elu"

    def __post_init__(self):
        require_sizes("dim, outputs", (self.dim, self.outputs), 2)
        require_sizes("hidden", self.hidden)
        require_integer("context_dim", self.context_dim, 0)
        require_choice("activation", self.activation, ACTIVATIONS)

    @property
    def _masks(self) -> tuple[np.ndarray, ...]:
        return _masks(self.dim, self.hidden, self.outputs, self.context_dim)

    def init(self, key: Key) -> Params:
        *masks, direct = self._masks
        keys, weights = jax.random.split(key, len(masks)), {}
        for i, (mask, key) in enumerate(zip(masks, keys, strict=True)):
            scale = (0.1 if i == len(masks) - 1 else 1.0) / np.sqrt(np.maximum(mask.sum(0), 1))
            kernel = jax.random.normal(key, mask.shape) * jnp.asarray(mask * scale[None], jnp.float32)
            weights[f"layer{i}"] = {"kernel": kernel, "bias": jnp.zeros(mask.shape[1])}
        return weights | {"direct": {"kernel": jnp.zeros(direct.shape)}}

    def apply(self, weights: Params, *inputs: Array) -> Array:
        first = flat(inputs, self.dim + self.context_dim, "MADE")
        *masks, mask = self._masks
        live = lambda kernel, mask: kernel * jnp.asarray(mask, kernel.dtype)  # noqa: E731
        h = first
        for i, layer in enumerate(masks):
            named = weights[f"layer{i}"]
            h = (ACTIVATIONS[self.activation](h) if i else h) @ live(named["kernel"], layer) + named["bias"]
        return (h + first @ live(weights["direct"]["kernel"], mask)).reshape(self.outputs, self.dim)
