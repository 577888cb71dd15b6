"""The maximum mean discrepancy between two samples."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["mmd"]

_AT_ONCE = 1024
_FOR_MEDIAN = 1000


@jax.jit
def _median(x: jax.Array) -> jax.Array:
    sizes = jnp.sum(x * x, 1)
    squares = jnp.maximum(sizes[:, None] + sizes[None] - 2.0 * x @ x.T, 0.0)
    return jnp.sqrt(jnp.median(squares[jnp.triu_indices(len(x), 1)]))


@functools.partial(jax.jit, static_argnames=("same",))
def _mean_kernel(a: jax.Array, b: jax.Array, bandwidth: jax.Array, *, same: bool) -> jax.Array:
    """Mean of the kernel over all pairs, or over those of two different rows."""
    sizes = jnp.sum(b * b, 1)

    def row(item: tuple[jax.Array, jax.Array]) -> jax.Array:
        i, one = item
        squares = jnp.maximum(sizes + jnp.sum(one * one) - 2.0 * b @ one, 0.0)
        values = jnp.exp(-0.5 * squares / bandwidth**2)
        return jnp.sum(values.at[i].set(0.0) if same else values) / (len(b) - same)

    return jnp.mean(jax.lax.map(row, (jnp.arange(len(a)), a), batch_size=min(len(a), _AT_ONCE)))


def _rows(name: str, x: Any) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim < 1 or len(x) < 2:
        raise ValueError(f"{name}: expected at least 2 rows, got shape {x.shape}")
    x = (x / np.float32(255) if x.dtype == np.uint8 else x).reshape(len(x), -1)
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"{name}: expected floating-point values or uint8 pixels, got {x.dtype}")
    bad = np.flatnonzero(~np.isfinite(x).all(1))
    if len(bad):
        raise ValueError(f"{name}: expected finite values, got nan or inf in row {bad[0]}")
    return x


def mmd(x: Any, y: Any, bandwidth: float | str = "median") -> float:
    r"""Squared maximum mean discrepancy with a Gaussian kernel, the unbiased estimate.

    $$\frac{1}{n(n-1)}\sum_{i\ne j}k(x_i,x_j) + \frac{1}{m(m-1)}\sum_{i\ne j}k(y_i,y_j)
    - \frac{2}{nm}\sum_{ij}k(x_i,y_j), \qquad k(a,b) = e^{-\|a-b\|^2/2h^2}$$

    Its mean is zero where both samples have one distribution, so that it may be negative. The time is that of
    all pairs, the memory that of a thousand rows against all.

    Args:
      x: rows (n, ...) of floats or uint8 pixels.
      y: rows (m, ...) of as many entries.
      bandwidth: h; `"median"` for the median distance between the rows of both together (a thousand of them).
        Compare numbers of one bandwidth only.

    Reference: Gretton et al., 2012, equation 3; section 8 for the median.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> mmd(x, x + 3.0) > 0.5 > mmd(x, x[::-1] + 0.01) + 0.4
    True
    """
    a, b = _rows("x", x), _rows("y", y)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"y: expected rows of {a.shape[1]} entries as in x, got {b.shape[1]}")
    centre = a.mean(0)[None]  # distances far from the origin would cancel
    first, second = jnp.asarray(a - centre), jnp.asarray(b - centre)
    if bandwidth == "median":
        both = jnp.concatenate([first, second])
        width = _median(both[np.linspace(0, len(both) - 1, min(len(both), _FOR_MEDIAN)).astype(int)])
        width = jnp.where(width > 0, width, 1.0)  # more than half of the pairs are equal
    elif isinstance(bandwidth, str) or not 0 < bandwidth < math.inf:
        raise ValueError(f'bandwidth: expected "median" or a positive number, got {bandwidth!r}')
    else:
        width = jnp.asarray(bandwidth, first.dtype)
    within = _mean_kernel(first, first, width, same=True) + _mean_kernel(second, second, width, same=True)
    return float(within - 2.0 * _mean_kernel(first, second, width, same=False))
