"""The masked autoencoder: one pass, and every output reads the inputs before its own alone."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.networks.network import ACTIVATIONS, Network, Weights, flat, require_activation, require_sizes
from vaejax.recipes import static

__all__ = ["MADE", "bound"]


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
    activation: str = "elu"

    def __post_init__(self):
        """Check the sizes."""
        require_sizes("dim, outputs", (self.dim, self.outputs), 2)
        require_sizes("hidden", self.hidden, 1)
        require_activation(self.activation)
        if not isinstance(self.context_dim, int) or self.context_dim < 0:
            raise ValueError(f"context_dim: expected a non-negative integer, got {self.context_dim!r}")

    @property
    def _masks(self) -> tuple[np.ndarray, ...]:
        return _masks(self.dim, self.hidden, self.outputs, self.context_dim)

    def init(self, key: jax.Array) -> Weights:
        """Draw the weights, scaled by the live inputs of each unit; the outputs start small."""
        *masks, direct = self._masks
        keys, weights = jax.random.split(key, len(masks)), {}
        for i, (mask, key) in enumerate(zip(masks, keys, strict=True)):
            scale = (0.1 if i == len(masks) - 1 else 1.0) / np.sqrt(np.maximum(mask.sum(0), 1))
            kernel = jax.random.normal(key, mask.shape) * jnp.asarray(mask * scale[None], jnp.float32)
            weights[f"layer{i}"] = {"kernel": kernel, "bias": jnp.zeros(mask.shape[1])}
        return weights | {"direct": {"kernel": jnp.zeros(direct.shape)}}

    def apply(self, weights: Weights, *inputs: jax.Array) -> jax.Array:
        """Shape `(outputs, dim)` for z, and the context where there is one."""
        first = flat(inputs, self.dim + self.context_dim, "MADE")
        *masks, mask = self._masks
        live = lambda kernel, mask: kernel * jnp.asarray(mask, kernel.dtype)  # noqa: E731
        h = first
        for i, layer in enumerate(masks):
            named = weights[f"layer{i}"]
            h = (ACTIVATIONS[self.activation](h) if i else h) @ live(named["kernel"], layer) + named["bias"]
        return (h + first @ live(weights["direct"]["kernel"], mask)).reshape(self.outputs, self.dim)


def _call(network: Network, weights: Weights, after: tuple[jax.Array, ...], z: jax.Array) -> jax.Array:
    return network.apply(weights, z, *after)


def bound(network: Network, weights: Weights, *after: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """A network with its weights, a pytree: `bound(network, weights, c)(z) = network.apply(weights, z, c)`."""
    return jax.tree_util.Partial(_call, network, weights, after)
