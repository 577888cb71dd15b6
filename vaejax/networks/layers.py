"""Layers of images: convolutions that are fast inside compiled loops on CPUs too, normalisation, and doubling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.custom_batching import sequential_vmap

from vaejax.types import Array

__all__ = ["Conv", "NormalizedConv", "convolve", "norm", "squares"]


def convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Convolve one image, zero-padded so that the output has `ceil(size / stride)` rows and columns.

    On a CPU as products of patches and matrices: XLA's own convolution is up to a hundred times slower
    inside a `lax.scan` (jaxlib 0.10.2). Elsewhere `jax.lax.conv_general_dilated`.

    Args:
      x: shape (H, W, C).
      kernel: shape (h, w, C, D), or (h, w, C) for one filter a channel, which reads that channel alone.
      stride: the same for rows and columns.
    """
    if jax.default_backend() == "cpu":
        by_rows = kernel.ndim == 3 and stride == 1 and kernel.shape[0] % 2 == kernel.shape[1] % 2 == 1
        return _depthwise(x, kernel) if by_rows else _by_products(x, kernel, stride)
    kernel, groups = (kernel[:, :, None], x.shape[-1]) if kernel.ndim == 3 else (kernel, 1)
    dims, strides = ("NHWC", "HWIO", "NHWC"), (stride, stride)
    return jax.lax.conv_general_dilated(
        x[None], kernel, strides, "SAME", dimension_numbers=dims, feature_group_count=groups
    )[0]


def _by_products(x: Array, kernel: Array, stride: int) -> Array:
    sizes = [-(-size // stride) for size in x.shape[:2]]
    spare = [max((n - 1) * stride + k - s, 0) for n, k, s in zip(sizes, kernel.shape[:2], x.shape[:2], strict=True)]
    padded = jnp.pad(x, (*((total // 2, total - total // 2) for total in spare), (0, 0)))
    shifts = list(np.ndindex(*kernel.shape[:2]))

    def window(y: Array, shift: tuple[int, ...]) -> Array:
        """The pixels that one entry of the filter meets."""
        return y[tuple(slice(i, i + (n - 1) * stride + 1, stride) for i, n in zip(shift, sizes, strict=True))]

    if kernel.ndim == 3:
        return functools.reduce(jnp.add, (window(padded, shift) * kernel[shift][None, None] for shift in shifts))
    depth, features = kernel.shape[2:]
    if 4 * features <= depth:  # less to move after the product than before it
        parts = jnp.split(padded @ kernel.transpose(2, 0, 1, 3).reshape(depth, -1), len(shifts), -1)
        return functools.reduce(jnp.add, map(window, parts, shifts))
    return jnp.concatenate([window(padded, shift) for shift in shifts], -1) @ kernel.reshape(-1, features)


@jax.custom_vjp
def _depthwise(x: Array, kernel: Array) -> Array:
    """A filter of odd sizes for each channel; its gradient (reverse mode alone) takes one image after the other."""
    return _by_products(x, kernel, 1)


def _depthwise_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _by_products(x, kernel, 1), (x, kernel)


def _depthwise_backward(kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    x, kernel = kept
    return _by_products(slope, kernel[::-1, ::-1], 1), _filter_gradient(x, slope, kernel)


@sequential_vmap
def _filter_gradient(x: Array, slope: Array, kernel: Array) -> Array:
    """Sums over one image of the slope times each shift of the image, row by row.

    A batch of such sums at once, which XLA would make of them, leaves the cache and takes seven times as long.
    """
    (high, wide), (rows, columns) = kernel.shape[:2], x.shape[:2]
    padded = jnp.pad(x, ((high // 2, high // 2), (wide // 2, wide // 2), (0, 0)))

    def entry(i: int, j: int) -> Array:
        return functools.reduce(jnp.add, (padded[i + r, j : j + columns] * slope[r] for r in range(rows)))

    taps = [[entry(i, j) for j in range(wide)] for i in range(high)]
    return jnp.sum(jnp.stack([jnp.stack(row) for row in taps]), 2)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def squares(h: Array, size: tuple[int, int]) -> Array:
    """Four channels become a square of 2 x 2 pixels, a transposed convolution without its dilation; cut to size."""
    height, width, depth = h.shape
    if any(n not in (2 * m - 1, 2 * m) for n, m in zip(size, (height, width), strict=True)):
        raise ValueError(f"expected a size of about {(2 * height, 2 * width)}, got {size}")
    h = h.reshape(height, width, 2, 2, depth // 4).transpose(0, 2, 1, 3, 4).reshape(2 * height, 2 * width, -1)
    return h[: size[0], : size[1]]


def norm(channels: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Normalisation over all of one datum, with a scale and a shift for each channel."""
    return nnx.LayerNorm(channels, reduction_axes=(-3, -2, -1), rngs=rngs)


class Conv(nnx.Module):
    """A convolution of one image, and a bias."""

    def __init__(self, shape: tuple[int, ...], rngs: nnx.Rngs, stride: int = 1):
        self.stride = stride
        self.kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(shape[-1]))

    def __call__(self, x: Array) -> Array:
        return convolve(x, self.kernel[...], self.stride) + self.bias[...][None, None]


class NormalizedConv(nnx.Module):
    r"""A convolution whose filters have a learned length, $g\,v/\|v\|$, and a bias."""

    def __init__(self, shape: tuple[int, ...], rngs: nnx.Rngs, stride: int = 1, gain: float = 1.0):
        self.stride = stride
        self.direction = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), shape))
        self.gain = nnx.Param(jnp.full(shape[-1], gain))
        self.bias = nnx.Param(jnp.zeros(shape[-1]))

    def __call__(self, x: Array) -> Array:
        v = self.direction[...]
        length = jnp.sqrt(jnp.sum(v * v, tuple(range(v.ndim - 1))) + 1e-12)
        kernel = v * (self.gain[...] / length).reshape((1,) * (v.ndim - 1) + (-1,))
        return convolve(x, kernel, self.stride) + self.bias[...][None, None]
