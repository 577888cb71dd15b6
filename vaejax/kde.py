"""Kernel density estimation, the baseline that needs no model."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vaejax.checks import finite_rows, require_integer, require_number
from vaejax.distributions import Distribution
from vaejax.kernels import reparameterize_diag
from vaejax.recipes import pytree
from vaejax.types import Array, ArrayLike, Key

__all__ = ["KDE", "fit", "log_density"]

_GRID = np.geomspace(0.05, 4.0, 45)  # bandwidths that cross-validation tries, in units of Scott's
_NARROW = 16  # columns up to which distances are sums of squares; wider ones come from a matrix product
_QUERIES, _POINTS = 256, 8192  # a block of distances takes 8 MiB


@pytree
class KDE(Distribution):
    r"""$p(x) = \frac1N\sum_n N(x; x_n, h^2 I)$, a distribution of one event.

    Attributes:
      points: the data.
      scale: the bandwidth h, the standard deviation of the kernel.
    """

    points: Float[Array, "N D"]
    scale: Float[Array, ""]
    has_stddev = True

    def sample(self, key: Key, temperature: ArrayLike = 1.0) -> Float[Array, " D"]:
        """Draw a data point, then the kernel's noise at `temperature`."""
        key_point, key_noise = jax.random.split(key)
        point = self.points[jax.random.randint(key_point, (), 0, len(self.points))]
        return reparameterize_diag(key_noise, point, temperature * self.scale)

    def log_prob(self, value: Float[Array, " D"]) -> Float[Array, ""]:
        """Log-density of one event; for many, `log_density` runs in blocks."""
        return log_density(self, value[None])[0]

    @property
    def mean(self) -> Float[Array, " D"]:
        return jnp.mean(self.points, 0)

    @property
    def stddev(self) -> Float[Array, " D"]:
        return jnp.sqrt(jnp.var(self.points, 0) + self.scale**2)


def _log_sums(points: Array, x: Array, precisions: Float[Array, " G"], skip: Array) -> Float[Array, "Q G"]:
    """Log of sum_n exp(-precision/2 |x - x_n|^2) for each query and precision, in blocks of constant memory.

    A query leaves out the data point of the index `skip` (-1 for none).
    """
    count = -(-len(points) // _POINTS)
    size = -(-len(points) // count)
    padded = jnp.pad(points, ((0, count * size - len(points)), (0, 0)))
    index = jnp.arange(count * size).reshape(count, size)

    def query(row: tuple[Array, Array]) -> Float[Array, " G"]:
        x, skip = row

        def add(total: Array, block: tuple[Array, Array]) -> tuple[Array, None]:
            block_points, index = block
            if x.size <= _NARROW:
                square = sum((x[d] - block_points[:, d]) ** 2 for d in range(x.size))
            else:
                square = jnp.sum(x * x) + jnp.sum(block_points**2, 1) - 2.0 * block_points @ x
            out = (index >= len(points)) | (index == skip)
            square = jnp.where(out, jnp.inf, jnp.maximum(square, 0.0))
            sums = jax.lax.map(lambda precision: jax.nn.logsumexp(-0.5 * precision * square), precisions)
            return jnp.logaddexp(total, sums), None

        empty = jnp.full(precisions.shape, -jnp.inf, x.dtype)
        return jax.lax.scan(add, empty, (padded.reshape(count, size, -1), index))[0]

    return jax.lax.map(query, (x, skip), batch_size=min(_QUERIES, len(x)))


@jax.jit
def log_density(kde: KDE, x: Array) -> Float[Array, " Q"]:
    """Log-density of many rows, nats, in blocks of constant memory.

    Beyond 16 columns distances come from a matrix product and are good to about 1e-7 of |x|^2 in
    float32: use float64 where the bandwidth is a thousandth of the spread.

    Args:
      kde: the estimate.
      x: rows (Q, D) or images; uint8 is scaled to [0, 1].

    >>> import numpy as np, vaejax as vj
    >>> kde = vj.kde.fit(np.array([[0.0], [1.0]]), bandwidth=1.0)
    >>> round(float(vj.kde.log_density(kde, jnp.array([[0.5]]))[0]), 4)
    -1.0439
    """
    x = (x / 255.0 if x.dtype == jnp.uint8 else x).reshape(len(x), -1)
    count, dim = kde.points.shape
    if x.shape[1] != dim:
        raise ValueError(f"x: expected rows of {dim} values, got shape {x.shape}")
    # Distances come from a matrix product, so the origin goes to the middle of the data.
    centre = jnp.mean(kde.points, 0)[None]
    points, x = (kde.points - centre) / kde.scale, (x - centre) / kde.scale
    sums = _log_sums(points, x, jnp.ones(1, x.dtype), jnp.full(len(x), -1))[:, 0]
    return sums - math.log(count) - dim * (0.5 * math.log(2.0 * math.pi) + jnp.log(kde.scale))


def fit(
    x: ArrayLike,
    *,
    bandwidth: float | Literal["scott", "silverman", "cv"] = "scott",
    queries: int = 2000,
    seed: int = 0,
) -> KDE:
    r"""Choose the bandwidth h of an isotropic Gaussian kernel.

    Scott's rule is $h = s\,N^{-1/(D+4)}$ and Silverman's $h = s\,(N(D+2)/4)^{-1/(D+4)}$, with $s^2$ the mean
    variance of the columns; `"cv"` maximises the leave-one-out likelihood of `queries` rows over 45
    bandwidths from a twentieth to four times Scott's.

    Args:
      x: rows (N, D) of floats, or images, which are flattened; uint8 is scaled to [0, 1].
      bandwidth: the rule, or h itself.
      queries: rows that cross-validation scores, at most.
      seed: of their choice.

    Reference: Scott, 1992; Silverman, 1986, section 3.4.4.

    >>> import numpy as np, vaejax as vj
    >>> kde = vj.kde.fit(np.random.default_rng(0).normal(size=(1000, 1)))
    >>> round(float(kde.scale), 2)
    0.25
    """
    rows = finite_rows("x", x).reshape(len(np.asarray(x)), -1)
    count, dim = rows.shape
    spread = float(np.sqrt(rows.var(0, dtype=np.float64).mean()))
    scott = spread * count ** (-1.0 / (dim + 4))
    if bandwidth in ("scott", "silverman", "cv") and (spread == 0.0 or count < 2):
        raise ValueError(f"bandwidth: {bandwidth!r} needs rows that differ; give a number")
    points = jnp.asarray(rows, jnp.result_type(float) if rows.dtype == np.float64 else np.float32)
    match bandwidth:
        case "scott":
            scale = scott
        case "silverman":
            scale = spread * (count * (dim + 2) / 4.0) ** (-1.0 / (dim + 4))
        case "cv":
            chosen = np.random.default_rng(seed).choice(
                count, min(require_integer("queries", queries), count), replace=False
            )
            centred = jnp.asarray((rows - rows.mean(0, dtype=np.float64)) / scott, points.dtype)
            scores = _leave_one_out(centred, jnp.asarray(chosen), jnp.asarray(_GRID, points.dtype))
            scale = scott * float(_GRID[int(jnp.argmax(scores))])
        case str():
            raise ValueError(f"bandwidth: expected scott, silverman, cv or a number, got {bandwidth!r}")
        case _:
            scale = require_number("bandwidth", bandwidth, above=0.0)
    return KDE(points, jnp.asarray(scale, points.dtype))


@jax.jit
def _leave_one_out(points: Array, chosen: Array, grid: Float[Array, " G"]) -> Float[Array, " G"]:
    """Mean leave-one-out log-likelihood for each bandwidth, up to a constant."""
    sums = _log_sums(points, points[chosen], grid**-2, chosen)
    return jnp.mean(sums, 0) - points.shape[1] * jnp.log(grid)
