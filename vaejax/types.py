"""Names of the types that the public face speaks of."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
from jax.typing import ArrayLike
from jaxtyping import Float

__all__ = [
    "Activation",
    "Array",
    "ArrayLike",
    "Context",
    "Covariance",
    "Event",
    "Key",
    "Mode",
    "Params",
    "Precision",
    "PyTree",
    "Scalar",
    "Scale",
    "Transform",
    "Term",
]

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array
"""A PRNG key, `jax.random.key(seed)`."""
PyTree: TypeAlias = Any
"""Nested tuples, lists and dicts of arrays."""
Params: TypeAlias = dict[str, Any]
"""Parameters of a model: a nested dict of arrays."""
Context: TypeAlias = ArrayLike | None
"""Condition of one datum: a vector, a label that becomes a one-hot vector, or `None`."""

Scalar: TypeAlias = Float[Array, ""]
Event: TypeAlias = Float[Array, "*event"]
"""One datum or one latent, an array of any shape."""
Term: TypeAlias = Float[ArrayLike, "*#event"]
"""A parameter of an event: a scalar, or an array that broadcasts to the event at equal rank."""

Mode: TypeAlias = Literal["ancestral", "mean", "offset"]
"""How x comes out of a likelihood: drawn with its noise, as its mean, or the mean and so many deviations."""
Covariance: TypeAlias = Literal["full", "tied", "diag", "spherical"]
Scale: TypeAlias = Literal["shared", "optimal", "per_pixel_constant", "per_pixel"]
"""How a standard deviation is learned: one number, one number in closed form, one an entry, or by the network."""
Precision: TypeAlias = Literal["float16", "bfloat16", "float32", "float64"]
Transform: TypeAlias = Callable[[Key, Array], Array]
"""Change of a batch inside the training step: `transforms.binarize`, or any such function in JAX."""
Activation: TypeAlias = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh"]
