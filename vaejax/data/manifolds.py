"""Data that lie on a curve or a surface: the ring, and r dimensions bent into d."""

import math

import numpy as np

from vaejax.data.dataset import Dataset
from vaejax.data.synthetic import draw_dataset, gaussian_noise

__all__ = ["manifold", "ring"]


def ring(
    count: int = 10_000,
    *,
    test: int | None = None,
    validation: int | float = 0,
    seed: int = 0,
    noise_variance: float = 0.0,
) -> Dataset:
    r"""A ring, the pushforward of $z \sim N(0, I_2)$ by $g(z) = z/10 + z/\|z\|$ (Doersch, 2016, figure 2).

    Args:
      count: rows to train on.
      test: rows to test on; half of `count` by default.
      validation: rows (or share of them) cut from train; 0 for none.
      seed: of the draws and of the choice.
      noise_variance: variance of each entry of the noise; the source has none.

    Returns:
      A `Dataset` of rows (N, 2).
    """

    def make(rng, n):
        z = rng.normal(size=(n, 2))
        return z / 10.0 + z / np.linalg.norm(z, axis=1, keepdims=True) + gaussian_noise(
            rng, (n, 2), noise_variance
        ), None

    return draw_dataset(make, count, test, validation, seed)


def manifold(
    r: int,
    d: int,
    count: int = 10_000,
    *,
    test: int | None = None,
    validation: int | float = 0,
    seed: int = 0,
    noise_variance: float = 0.0,
    curvature: float = 1.0,
) -> Dataset:
    r"""Data on an r-dimensional manifold in $R^d$: $x = Az + c\,B\sin(Cz) + \epsilon$ with $z \sim N(0, I_r)$.

    A and B are orthonormal and orthogonal to each other, C is Gaussian: the map is smooth and one to
    one. It is the setting of Dai and Wipf, 2019, where the data have a density on the manifold only.

    Args:
      r: dimension of the manifold, at least 1.
      d: dimension of the space, more than r.
      count: rows to train on.
      test: rows to test on; half of `count` by default.
      validation: rows (or share of them) cut from train; 0 for none.
      seed: of the map, the draws and the choice.
      noise_variance: variance of each entry of the noise.
      curvature: c; 0 gives a linear subspace.

    Returns:
      A `Dataset` of rows (N, d).
    """
    if not (isinstance(r, int) and isinstance(d, int) and 1 <= r < d):
        raise ValueError(f"r, d: expected integers with 1 <= r < d, got r={r!r}, d={d!r}")
    rng = np.random.default_rng([seed, r, d])
    bend = min(r, d - r)
    frame = np.linalg.qr(rng.normal(size=(d, r + bend)))[0]
    mix = rng.normal(size=(bend, r)) * (2.0 / math.sqrt(r))

    def make(rng, n):
        z = rng.normal(size=(n, r))
        x = z @ frame[:, :r].T + curvature * np.sin(z @ mix.T) @ frame[:, r:].T
        return x + gaussian_noise(rng, (n, d), noise_variance), None

    return draw_dataset(make, count, test, validation, seed)
