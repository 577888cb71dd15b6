"""Data that lie on a curve or a surface: the ring, and r dimensions bent into d."""

import math
from typing import Unpack

import numpy as np

from vaejax.checks import require_integer
from vaejax.data.dataset import Dataset
from vaejax.data.synthetic import Parts, draw_dataset

__all__ = ["manifold", "ring"]


def ring(count: int = 10_000, *, noise_variance: float = 0.0, **parts: Unpack[Parts]) -> Dataset:
    r"""A ring, the pushforward of $z \sim N(0, I_2)$ by $g(z) = z/10 + z/\|z\|$ (Doersch, 2016, figure 2).

    Rows (N, 2), arguments as in `vaejax.data.synthetic`; the source has no noise.
    """

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        z = rng.normal(size=(n, 2))
        return z / 10.0 + z / np.linalg.norm(z, axis=1, keepdims=True)

    return draw_dataset(draw, count, noise_variance, **parts)


def manifold(
    r: int,
    d: int,
    count: int = 10_000,
    *,
    noise_variance: float = 0.0,
    curvature: float = 1.0,
    **parts: Unpack[Parts],
) -> Dataset:
    r"""Data on an r-dimensional manifold in $R^d$: $x = Az + c\,B\sin(Cz) + \epsilon$ with $z \sim N(0, I_r)$.

    A and B are orthonormal and orthogonal to each other, C is Gaussian: the map is smooth and one to
    one. It is the setting of Dai and Wipf, 2019, where the data have a density on the manifold only.

    Rows (N, d), further arguments as in `vaejax.data.synthetic`; the seed is of the map as well.

    Args:
      r: dimension of the manifold, at least 1.
      d: dimension of the space, more than r.
      count: rows to train on.
      noise_variance: variance of each entry of the noise.
      curvature: c; 0 gives a linear subspace.
      **parts: `test`, `validation`, `seed`.
    """
    require_integer("d", d, require_integer("r", r) + 1)
    rng = np.random.default_rng([parts.get("seed", 0), r, d])
    bend = min(r, d - r)
    frame = np.linalg.qr(rng.normal(size=(d, r + bend)))[0]
    mix = rng.normal(size=(bend, r)) * (2.0 / math.sqrt(r))

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        z = rng.normal(size=(n, r))
        return z @ frame[:, :r].T + curvature * np.sin(z @ mix.T) @ frame[:, r:].T

    return draw_dataset(draw, count, noise_variance, **parts)
