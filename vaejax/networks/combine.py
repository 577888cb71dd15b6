"""Combinations of networks, and networks bound to their weights."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from vaejax.networks.network import Network
from vaejax.recipes import arguments, static
from vaejax.types import Array, Key, Params, Precision

__all__ = ["Constant", "Parallel", "Sequential", "Skip", "bound", "in_precision", "init_parts"]

R = TypeVar("R")


def init_parts(key: Key, parts: Sequence[Network], name: str = "part") -> Params:
    """Weights of several networks, `part0`, `part1`, ..., drawn with separate keys."""
    keys = jax.random.split(key, len(parts))
    return {f"{name}{i}": part.init(key) for i, (part, key) in enumerate(zip(parts, keys, strict=True))}


@static
class _Parts(Network):
    parts: tuple[Network, ...]

    def init(self, key: Key) -> Params:
        return init_parts(key, self.parts)


@static
class Sequential(_Parts):
    """Networks one after the other; the first one takes all inputs.

    Attributes:
      parts: the networks, first to last.
    """

    def apply(self, weights: Params, *inputs: Array) -> Array:
        for i, part in enumerate(self.parts):
            inputs = (part.apply(weights[f"part{i}"], *inputs),)
        return inputs[0]


@static
class Parallel(_Parts):
    """Networks side by side, their outputs joined along the last axis: one branch for each parameter.

    Attributes:
      parts: the networks, in the order of their outputs.
    """

    def apply(self, weights: Params, *inputs: Array) -> Array:
        return jnp.concatenate([p.apply(weights[f"part{i}"], *inputs) for i, p in enumerate(self.parts)], -1)


@static
class _Changed(Network):
    network: Network

    def init(self, key: Key) -> Params:
        return self.network.init(key)


@static
class Skip(_Changed):
    """A skip connection: the sum of the first input and of the network's output for all inputs.

    Attributes:
      network: its output has the shape of the first input.
    """

    def apply(self, weights: Params, *inputs: Array) -> Array:
        out = self.network.apply(weights, *inputs)
        if out.shape != inputs[0].shape:
            raise ValueError(f"Skip: expected an output of shape {inputs[0].shape}, got {out.shape}")
        return inputs[0] + out


@static
class _Cast(_Changed):
    """A network that computes in another precision: weights, inputs and outputs stay as they were."""

    dtype: Precision

    def apply(self, weights: Params, *inputs: Array) -> Array:
        lower = lambda leaf: leaf.astype(self.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf  # noqa: E731
        out = self.network.apply(*jax.tree.map(lower, (weights, *inputs)))
        return out.astype(jnp.result_type(*jax.tree.leaves(inputs)))


@static
class Constant(Network):
    """A learned vector that ignores the inputs, zero at the start.

    Attributes:
      size: its length.
    """

    size: int

    def init(self, key: Key) -> Params:
        return {"value": jnp.zeros(self.size)}

    def apply(self, weights: Params, *inputs: Array) -> Array:
        return weights["value"]


def in_precision(recipe: R, dtype: Precision | None) -> R:
    """The same model or network with every network in it computing in `dtype`, for instance `"bfloat16"`.

    Parameters stay float32 and have the same structure; likelihoods are computed in float32. `None` changes nothing.
    """
    changed: Any = recipe
    if isinstance(recipe, Network) and dtype is not None:
        changed = _Cast(recipe, dtype)
    elif isinstance(recipe, tuple):
        changed = tuple(in_precision(part, dtype) for part in recipe)
    elif dataclasses.is_dataclass(recipe) and not isinstance(recipe, type | Network):
        named = {name: in_precision(value, dtype) for name, value in arguments(recipe).items()}
        if "compute_dtype" in named:  # builds networks itself
            named["compute_dtype"] = dtype
        changed = type(recipe)(**named)
    return changed


def _call(network: Network, weights: Params, after: tuple[Array, ...], z: Array) -> Array:
    return network.apply(weights, z, *after)


def bound(network: Network, weights: Params, *after: Array) -> Callable[[Array], Array]:
    """A network with its weights, a pytree: `bound(network, weights, c)(z) = network.apply(weights, z, c)`."""
    return jax.tree_util.Partial(_call, network, weights, after)
