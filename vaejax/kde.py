"""Kernel density estimation, the baseline that needs no model."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.distributions import Distribution
from vaejax.kernels import reparameterize_diag
from vaejax.recipes import pytree

__all__ = ["KDE", "fit", "log_density"]

_GRID = np.geomspace(0.05, 4.0, 45)  # bandwidths that cross-validation tries, in units of Scott's
_NARROW = 16  # columns up to which distances are sums of squares; wider ones come from a matrix product
_QUERIES, _POINTS = 256, 8192  # a block of distances takes 8 MiB


@pytree
class KDE(Distribution):
    r"""$p(x) = \frac1N\sum_n N(x; x_n, h^2 I)$, a distribution of one event.

    Attributes:
      points: the data, shape (N, D).
      scale: the bandwidth h, the standard deviation of the kernel.
    """

    points: jax.Array
    scale: jax.Array

    def sample(self, key, temperature=1.0):
        """Draw a data point, then the kernel's noise at `temperature`."""
        key_point, key_noise = jax.random.split(key)
        point = self.points[jax.random.randint(key_point, (), 0, len(self.points))]
        return reparameterize_diag(key_noise, point, temperature * self.scale)

    def log_prob(self, value):
        """Log-density of one event; for many, `log_density` runs in blocks."""
        return log_density(self, value[None])[0]

    @property
    def mean(self):
        """Mean of the data."""
        return jnp.mean(self.points, 0)

    @property
    def stddev(self):
        """Standard deviation of each column: the data's and the kernel's."""
        return jnp.sqrt(jnp.var(self.points, 0) + self.scale**2)


def _blocks(points: jax.Array) -> tuple[jax.Array, jax.Array]:
    count = -(-len(points) // _POINTS)
    size = -(-len(points) // count)
    padded = jnp.pad(points, ((0, count * size - len(points)), (0, 0)))
    live = (jnp.arange(count * size) < len(points)).reshape(count, size)
    return padded.reshape(count, size, -1), live


def _log_sums(points: jax.Array, x: jax.Array, precisions: jax.Array, skip: jax.Array) -> jax.Array:
    """Log of sum_n exp(-precision/2 |x - x_n|^2) for each query and precision, shape (Q, G).

    A query leaves out the data point of the index `skip` (-1 for none). Memory is one block.
    """
    blocks, live = _blocks(points)
    starts = jnp.arange(len(blocks)) * blocks.shape[1]

    def queries(x: jax.Array, skip: jax.Array) -> jax.Array:
        def add(total: jax.Array, block: Any) -> tuple[jax.Array, None]:
            points, live, start = block
            if x.shape[1] <= _NARROW:
                square = sum((x[:, d][:, None] - points[:, d][None]) ** 2 for d in range(x.shape[1]))
            else:
                square = jnp.sum(x * x, 1)[:, None] + jnp.sum(points * points, 1)[None] - 2.0 * x @ points.T
            index = start + jnp.arange(len(points))
            out = ~live[None] | (index[None] == skip[:, None])
            square = jnp.where(out, jnp.inf, jnp.maximum(square, 0.0))
            each = lambda precision: jax.nn.logsumexp(-0.5 * precision * square, 1)  # noqa: E731
            return jnp.logaddexp(total, jax.lax.map(each, precisions).T), None

        empty = jnp.full((len(x), len(precisions)), -jnp.inf, x.dtype)
        return jax.lax.scan(add, empty, (blocks, live, starts))[0]

    count = len(x)
    rows = -(-count // _QUERIES) * _QUERIES if count > _QUERIES else count
    size = min(_QUERIES, count)
    x = jnp.pad(x, ((0, rows - count), (0, 0))).reshape(-1, size, x.shape[1])
    skip = jnp.pad(skip, (0, rows - count)).reshape(-1, size)
    return jax.lax.map(lambda args: queries(*args), (x, skip)).reshape(rows, -1)[:count]


@jax.jit
def log_density(kde: KDE, x: jax.Array) -> jax.Array:
    """Log-density of many rows, nats, in blocks of constant memory.

    Beyond 16 columns distances come from a matrix product and are good to about 1e-7 of |x|^2 in
    float32: use float64 where the bandwidth is a thousandth of the spread.

    Args:
      kde: the estimate.
      x: rows (Q, D) or images; uint8 is scaled to [0, 1].

    Returns:
      Shape (Q,).

    >>> import numpy as np, vaejax as vj
    >>> kde = vj.kde.fit(np.array([[0.0], [1.0]]), bandwidth=1.0)
    >>> round(float(vj.kde.log_density(kde, jnp.array([[0.5]]))[0]), 4)
    -1.0439
    """
    x = (x / 255.0 if x.dtype == jnp.uint8 else x).reshape(len(x), -1)
    if x.shape[1] != kde.points.shape[1]:
        raise ValueError(f"x: expected rows of {kde.points.shape[1]} values, got shape {x.shape}")
    # Distances come from a matrix product, so the origin goes to the middle of the data.
    centre = jnp.mean(kde.points, 0)[None]
    sums = _log_sums(
        (kde.points - centre) / kde.scale, (x - centre) / kde.scale, jnp.ones(1, x.dtype), jnp.full(len(x), -1)
    )[:, 0]
    count, dim = kde.points.shape
    return sums - math.log(count) - dim * (0.5 * math.log(2.0 * math.pi) + jnp.log(kde.scale))


def fit(x: Any, *, bandwidth: float | str = "scott", queries: int = 2000, seed: int = 0) -> KDE:
    r"""Choose the bandwidth h of an isotropic Gaussian kernel.

    Scott's rule is $h = s\,N^{-1/(D+4)}$ and Silverman's $h = s\,(N(D+2)/4)^{-1/(D+4)}$, with $s^2$ the mean
    variance of the columns; `"cv"` maximises the leave-one-out likelihood of `queries` rows over 45
    bandwidths from a twentieth to four times Scott's.

    Args:
      x: rows (N, D) of floats, or images, which are flattened; uint8 is scaled to [0, 1].
      bandwidth: `"scott"`, `"silverman"`, `"cv"`, or h itself.
      queries: rows that cross-validation scores, at most.
      seed: of their choice.

    Returns:
      A `KDE`.

    Reference: Scott, 1992; Silverman, 1986, section 3.4.4.

    >>> import numpy as np, vaejax as vj
    >>> kde = vj.kde.fit(np.random.default_rng(0).normal(size=(1000, 1)))
    >>> round(float(kde.scale), 2)
    0.25
    """
    x = np.asarray(x)
    if x.dtype == np.uint8:
        x = x / np.float32(255.0)
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"x: expected floating-point rows or uint8 images, got {x.dtype}")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"x: expected rows (N, D) or images (N, H, W, C), none of them empty, got shape {x.shape}")
    x = x.reshape(len(x), -1)
    if not np.all(np.isfinite(x)):
        raise ValueError(f"x: expected finite values, got nan or inf in row {int(np.argmin(np.isfinite(x).all(1)))}")
    count, dim = x.shape
    spread = float(np.sqrt(x.var(0, dtype=np.float64).mean()))
    scott = spread * count ** (-1.0 / (dim + 4))
    if isinstance(bandwidth, str):
        if bandwidth not in ("scott", "silverman", "cv"):
            raise ValueError(f"bandwidth: expected scott, silverman, cv or a number, got {bandwidth!r}")
        if spread == 0.0 or count < 2:
            raise ValueError(f"bandwidth: {bandwidth!r} needs rows that differ; give a number")
    points = jnp.asarray(x, np.float64 if x.dtype == np.float64 and jax.config.jax_enable_x64 else np.float32)  # type: ignore[attr-defined]
    match bandwidth:
        case "scott":
            scale = scott
        case "silverman":
            scale = spread * (count * (dim + 2) / 4.0) ** (-1.0 / (dim + 4))
        case "cv":
            chosen = np.random.default_rng(seed).choice(count, min(queries, count), replace=False)
            centred = jnp.asarray((x - x.mean(0, dtype=np.float64)) / scott, points.dtype)
            scores = _leave_one_out(centred, jnp.asarray(chosen), jnp.asarray(_GRID, points.dtype))
            scale = scott * float(_GRID[int(jnp.argmax(scores))])
        case _:
            scale = float(bandwidth)
            if not (math.isfinite(scale) and scale > 0):
                raise ValueError(f"bandwidth: expected a positive number, got {bandwidth!r}")
    return KDE(points, jnp.asarray(scale, points.dtype))


@functools.partial(jax.jit)
def _leave_one_out(points: jax.Array, chosen: jax.Array, grid: jax.Array) -> jax.Array:
    """Mean leave-one-out log-likelihood for each bandwidth, up to a constant."""
    sums = _log_sums(points, points[chosen], grid**-2, chosen)
    return jnp.mean(sums, 0) - points.shape[1] * jnp.log(grid)
