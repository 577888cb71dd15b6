"""A convolution that is fast inside compiled loops on CPUs too."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

__all__ = ["Conv", "convolve", "convolve_depthwise"]


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolve one image, zero-padded so that the output has `ceil(size / stride)` rows and columns.

    On a CPU as products of patches and matrices: XLA's own convolution is up to a hundred times slower
    inside a `lax.scan` (jaxlib 0.10.2). Elsewhere `jax.lax.conv_general_dilated`.

    Args:
      x: shape (H, W, C).
      kernel: shape (h, w, C, D).
      stride: the same for rows and columns.
    """
    if jax.default_backend() != "cpu":
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x[None], kernel, (stride, stride), "SAME", dimension_numbers=dims)[0]
    return _by_patches(x, kernel, stride)


def _by_patches(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    height, width, depth, features = kernel.shape
    sizes = [-(-size // stride) for size in x.shape[:2]]
    spare = [max((n - 1) * stride + k - s, 0) for n, k, s in zip(sizes, (height, width), x.shape[:2], strict=True)]
    padding = (*((total // 2, total - total // 2) for total in spare), (0, 0))
    shifts = [(i, j) for i in range(height) for j in range(width)]

    def window(y: jax.Array, i: int, j: int) -> jax.Array:
        (rows, columns) = ((n - 1) * stride + 1 for n in sizes)
        return y[i : i + rows : stride, j : j + columns : stride]

    if 4 * features <= depth:  # less to move after the product than before it
        spread = jnp.pad(x, padding) @ kernel.transpose(2, 0, 1, 3).reshape(depth, -1)
        parts = jnp.split(spread, len(shifts), -1)
        return sum(
            (window(part, i, j) for part, (i, j) in zip(parts[1:], shifts[1:], strict=True)), window(parts[0], 0, 0)
        )
    padded = jnp.pad(x, padding)
    patches = jnp.concatenate([window(padded, i, j) for i, j in shifts], -1)
    return patches @ kernel.reshape(-1, features)


def convolve_depthwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve each channel of one image with a filter of its own, zero-padded to the same size.

    On a CPU as a sum of shifted products, for the reason given in `convolve`.

    Args:
      x: shape (H, W, C).
      kernel: shape (h, w, C).
    """
    if jax.default_backend() != "cpu":
        dims, depth = ("NHWC", "HWIO", "NHWC"), x.shape[-1]
        return jax.lax.conv_general_dilated(
            x[None], kernel[:, :, None], (1, 1), "SAME", dimension_numbers=dims, feature_group_count=depth
        )[0]
    return _by_shifts(x, kernel)


def _by_shifts(x: jax.Array, kernel: jax.Array) -> jax.Array:
    (height, width, _), (rows, columns, _) = x.shape, kernel.shape
    around = [((size - 1) // 2, size // 2) for size in (rows, columns)]
    padded = jnp.pad(x, (*around, (0, 0)))
    shifts = ((i, j) for i in range(rows) for j in range(columns))
    terms = (padded[i : i + height, j : j + width] * kernel[i, j][None, None, :] for i, j in shifts)
    return functools.reduce(jnp.add, terms)


class Conv(nnx.Module):
    """A convolution of one image with a square kernel, and a bias."""

    def __init__(self, depth: int, features: int, size: int, stride: int = 1, *, rngs: nnx.Rngs):
        self.stride = stride
        self.kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), (size, size, depth, features)))
        self.bias = nnx.Param(jnp.zeros(features))

    def __call__(self, x: jax.Array) -> Any:
        """Shape (H, W, depth) to (ceil(H / stride), ceil(W / stride), features)."""
        return convolve(x, self.kernel[...], self.stride) + self.bias[...][None, None, :]
