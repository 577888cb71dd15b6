"""Parts that hierarchies share: tuples of networks, each with its weights and its place, and links of a walk.

Latents, and all that belongs to them, come top first, networks as they are computed.
"""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any

import jax
from jax.tree_util import Partial

from vaejax import heads
from vaejax.checks import require_integer, require_kind
from vaejax.distributions import Distribution, Known, given, same
from vaejax.models.headed import Headed
from vaejax.networks import Network
from vaejax.recipes import pytree
from vaejax.types import Array, Params

__all__ = [
    "GAUSSIAN",
    "Layer",
    "as_shapes",
    "climb",
    "conditional",
    "known",
    "layers",
    "require_layers",
]

GAUSSIAN = heads.normal("per_pixel", floor=1e-3)  # softplus scales, which the floor keeps away from zero
Shape = tuple[int, ...]


@pytree
class Layer:
    """One network in its place, with its weights.

    Attributes:
      weights: of the network.
      network: the recipe.
      name: in errors.
      shape: of the latent whose parameters it gives; `()` where it gives none.
      remat: as in `Ladder`.
    """

    weights: Params
    network: Network = dataclasses.field(metadata={"static": True})
    name: str = dataclasses.field(metadata={"static": True})
    shape: Shape = dataclasses.field(metadata={"static": True})
    remat: bool = dataclasses.field(metadata={"static": True})

    def __call__(self, *inputs: Array) -> Array:
        """Output of the network."""
        apply = jax.checkpoint(self.network.apply) if self.remat else self.network.apply
        return apply(self.weights, *inputs)

    def parameters(self, *inputs: Array) -> Array:
        """The two numbers that the network gives for each entry of its latent, checked."""
        output, expected = self(*inputs), GAUSSIAN.output_shape(self.shape)
        if output.shape != expected:
            problem = f"expected an output of shape {expected} for a latent of shape {self.shape}, got {output.shape}"
            raise ValueError(f"{self.name}: {problem}")
        return output

    def gaussian(self, *inputs: Array) -> Distribution:
        """The diagonal Gaussian over its latent that the network gives."""
        return GAUSSIAN.apply({}, self.parameters(*inputs))


def layers(model: Headed, params: Params, name: str, shapes: Iterable[Shape] = ()) -> list[Layer]:
    """The networks of a tuple, each with the shape of the latent whose parameters it gives."""
    parts = zip(model.networks[name], itertools.chain(shapes, itertools.repeat(())), strict=False)
    return [
        Layer(params[name][f"layer{i}"], network, f"{name}[{i}]", shape, model.remat)
        for i, (network, shape) in enumerate(parts)
    ]


def climb(ups: list[Layer], x: Array, extra: tuple[Array, ...]) -> list[Array]:
    """Features on the way up, bottom first: the first network reads x and the context, each other the one before."""
    inputs, features = (x, *extra), []
    for up in ups:
        inputs = (up(*inputs),)
        features += inputs
    return features


def _conditional(layer: Layer, extra: tuple[Array, ...], h: Array) -> tuple[Distribution, Any]:
    return layer.gaussian(h, *extra), same


def conditional(layer: Layer, extra: tuple[Array, ...]) -> Partial:
    """A chain's link of a latent that depends on the one before it, and on nothing else."""
    return Partial(_conditional, layer, extra)


def known(z: Any, log_q: Array) -> Any:
    """A guide's link of a latent that was drawn on the way up."""
    return given(Known(z, log_q))


def as_shapes(shapes: tuple[int | Shape, ...]) -> tuple[Shape, ...]:
    """Shapes of latents; a number stands for a vector of that length."""
    require_integer("number of latent_shapes", len(shapes))
    tuples = tuple(shape if isinstance(shape, tuple) else (shape,) for shape in shapes)
    sizes = list(itertools.chain.from_iterable(tuples))
    if not all(tuples) or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sizes):
        raise ValueError(f"latent_shapes: expected sizes or shapes of positive integers, got {shapes}")
    return tuples


def require_layers(model: Headed, count: int, below_top: tuple[str, ...]) -> None:
    """Check that each tuple has a network for each layer of latents; those of `below_top` have none for the top."""
    for name, parts in model.networks.items():
        expected = count - (name in below_top)
        if len(parts) != expected:
            raise ValueError(f"{name}: expected {expected} networks for {count} layers of latents, got {len(parts)}")
        for i, part in enumerate(parts):
            require_kind(f"{name}[{i}]", part, Network)
