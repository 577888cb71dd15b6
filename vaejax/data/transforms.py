"""Changes of a batch inside the training step: `fit(..., transform=binarize)`."""

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.checks import require_integer
from vaejax.data.dequantize import level_step
from vaejax.kernels import bernoulli_draw
from vaejax.recipes import static
from vaejax.types import Array, Key, Transform

__all__ = ["binarize", "dequantize"]


def binarize(key: Key, x: Array) -> Array:
    """Dynamic binarisation: each grey value becomes 1 with its own probability, anew in each step.

    Args:
      key: a PRNG key.
      x: a batch of uint8 pixels, or of values in [0, 1].

    Returns:
      Zeros and ones, float32.

    >>> binarize(jax.random.key(0), jnp.array([0, 255, 255], jnp.uint8)).tolist()
    [0.0, 1.0, 1.0]
    """
    return bernoulli_draw(key, x / jnp.float32(255.0) if x.dtype == jnp.uint8 else x)


@static
class _Dequantize:
    levels: int

    def check(self, x: np.ndarray) -> None:
        """The rows on the host, which `fit` checks before it begins."""
        level_step(x, self.levels)

    def __call__(self, key: Key, x: Array) -> Array:
        if x.dtype != jnp.uint8:
            raise ValueError(f"dequantize: expected uint8 pixels, got {x.dtype}")
        level = jnp.floor_divide(x, 255 // (self.levels - 1)).astype(jnp.float32)
        return (level + jax.random.uniform(key, x.shape)) / self.levels


def dequantize(levels: int = 256) -> Transform:
    r"""The transform of a batch that `vaejax.data.dequantize` is of an array, with fresh noise in each step.

    Held-out rows are drawn once: the noise of an evaluation is the same in every epoch.

    Args:
      levels: number of grey levels: 256, or 17 for the digits.

    Returns:
      A transform `(key, x) -> x` of a batch of uint8 pixels.

    >>> dequantize(17)(jax.random.key(0), jnp.array([[240]], jnp.uint8)).round(1).tolist()
    [[1.0]]
    """
    return _Dequantize(require_integer("levels", levels, 2, 256))
