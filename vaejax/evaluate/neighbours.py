"""Nearest neighbours by brute force, in pieces that fit the cache: searched in float32, measured in float64."""

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["nearest", "offsets"]

_PIECE = 2**21  # distances held at once
_PASSES = 8  # so many nearest ones are found by as many minima, more of them by a partition


def offsets(x: np.ndarray, y: np.ndarray, dtype: Any = np.float64) -> Iterator[tuple[slice, np.ndarray]]:
    r"""$|x - y|^2 - |x|^2$ for the rows of x and y, both measured from the mean of y, a piece of x at a time."""
    centre = y.mean(0)
    x, y = (-2.0 * (x - centre)).astype(dtype), (y - centre).astype(dtype)
    norms, size = (y**2).sum(1), max(1, _PIECE // len(y))
    for start in range(0, len(x), size):
        piece = slice(start, min(start + size, len(x)))
        products = x[piece] @ y.T
        products += norms[None]
        yield piece, products


def nearest(x: np.ndarray, y: np.ndarray, k: int = 1, itself: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of y of every row of x: their indices and distances, (N, k), nearest first.

    Args:
      x: points (N, D).
      y: points (M, D).
      k: number of neighbours.
      itself: whether row i of y counts for row i of x; `False` where the two are one set.

    >>> index, distance = nearest(np.array([[0.0], [3.0]]), np.array([[1.0], [5.0]]))
    >>> index.ravel().tolist(), distance.ravel().tolist()
    ([0, 0], [1.0, 2.0])
    """
    others = len(y) if itself else len(y) - 1
    if not 1 <= k <= others:
        raise ValueError(f"k: expected 1 to {others} neighbours, got {k}")
    index = np.empty((len(x), k), np.int64)
    for piece, offset in offsets(x, y, np.float32):
        rows = np.arange(piece.stop - piece.start)
        if not itself:
            offset[rows, rows + piece.start] = np.inf
        if k > _PASSES:
            index[piece] = np.argpartition(offset, k - 1, 1)[:, :k]
            continue
        for j in range(k):
            index[piece, j] = best = offset.argmin(1)
            offset[rows, best] = np.inf
    # |x|^2 + |y|^2 - 2 x y cancels where a row is a copy: the ones found are measured by their difference.
    exact = np.empty(index.shape)
    for j in range(k):
        exact[:, j] = np.linalg.norm(x - y[index[:, j]].astype(np.float64), axis=1)
    order = np.argsort(exact, 1, kind="stable")
    return np.take_along_axis(index, order, 1), np.take_along_axis(exact, order, 1)
