"""Networks made of networks."""

import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from vaejax.networks.network import Network, Weights
from vaejax.recipes import arguments, static

__all__ = ["Constant", "Parallel", "Sequential", "Skip", "in_precision"]

R = TypeVar("R")


@static
class Sequential(Network):
    """Networks one after the other; the first one takes all inputs.

    Attributes:
      parts: the networks, first to last.
    """

    parts: tuple[Network, ...]

    def init(self, key: jax.Array) -> Weights:
        """Draw the weights of every part."""
        return _init(self.parts, key)

    def apply(self, weights: Weights, *inputs: jax.Array) -> jax.Array:
        """Output of the last part."""
        out = self.parts[0].apply(weights["part0"], *inputs)
        for i, part in enumerate(self.parts[1:], 1):
            out = part.apply(weights[f"part{i}"], out)
        return out


@static
class Parallel(Network):
    """Networks side by side, their outputs joined along the last axis: one branch for each parameter.

    Attributes:
      parts: the networks, in the order of their outputs.
    """

    parts: tuple[Network, ...]

    def init(self, key: jax.Array) -> Weights:
        """Draw the weights of every part."""
        return _init(self.parts, key)

    def apply(self, weights: Weights, *inputs: jax.Array) -> jax.Array:
        """Outputs of all parts, joined."""
        return jnp.concatenate([p.apply(weights[f"part{i}"], *inputs) for i, p in enumerate(self.parts)], -1)


@static
class Skip(Network):
    """A skip connection: what the network makes of all inputs is added to the first one.

    Attributes:
      network: its output has the shape of the first input.
    """

    network: Network

    def init(self, key: jax.Array) -> Weights:
        """Draw the network's weights."""
        return self.network.init(key)

    def apply(self, weights: Weights, *inputs: jax.Array) -> jax.Array:
        """The first input, with the network's output added."""
        out = self.network.apply(weights, *inputs)
        if out.shape != inputs[0].shape:
            raise ValueError(f"Skip: expected an output of shape {inputs[0].shape}, got {out.shape}")
        return inputs[0] + out


def _init(parts: tuple[Network, ...], key: jax.Array) -> Weights:
    keys = jax.random.split(key, len(parts))
    return {f"part{i}": part.init(key) for i, (part, key) in enumerate(zip(parts, keys, strict=True))}


@static
class Constant(Network):
    """A learned vector that ignores the inputs, zero at the start.

    Attributes:
      size: its length.
    """

    size: int

    def init(self, key: jax.Array) -> Weights:
        """Zeros."""
        return {"value": jnp.zeros(self.size)}

    def apply(self, weights: Weights, *inputs: jax.Array) -> jax.Array:
        """The vector."""
        return weights["value"]


@static
class _Cast(Network):
    """A network that computes in another precision: weights, inputs and outputs stay as they were."""

    network: Network
    dtype: str

    def init(self, key: jax.Array) -> Weights:
        return self.network.init(key)

    def apply(self, weights: Weights, *inputs: jax.Array) -> jax.Array:
        lower = lambda leaf: leaf.astype(self.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf  # noqa: E731
        out = self.network.apply(*jax.tree.map(lower, (weights, *inputs)))
        return out.astype(jnp.result_type(*jax.tree.leaves(inputs)))


def in_precision(recipe: R, dtype: str) -> R:
    """The same model or network with every network in it computing in `dtype`, for instance `"bfloat16"`.

    Parameters stay float32 and have the same structure; likelihoods are computed in float32.
    """
    if isinstance(recipe, Network):
        return _Cast(recipe, dtype)  # type: ignore[return-value]
    if isinstance(recipe, tuple):
        return tuple(in_precision(each, dtype) for each in recipe)  # type: ignore[return-value]
    if dataclasses.is_dataclass(recipe) and not isinstance(recipe, type):
        changed: dict[str, Any] = {name: in_precision(value, dtype) for name, value in arguments(recipe).items()}
        if "compute_dtype" in changed:  # what makes networks of its own
            changed["compute_dtype"] = dtype
        return type(recipe)(**changed)
    return recipe
