"""What the metrics take: rows of finite numbers on the host, and labels."""

from typing import Any

import numpy as np

__all__ = ["as_classes", "as_points", "as_rows"]


def as_rows(name: str, x: Any, shape: tuple[int, ...] | None = None, least: int = 1) -> np.ndarray:
    """Rows as float32, checked: uint8 pixels are scaled to [0, 1], bool becomes 0 and 1.

    Args:
      name: what an error calls them.
      x: (N, ...) floats, uint8 or bool.
      shape: of a row; rows of as many entries are reshaped to it.
      least: number of rows that are needed.

    Raises:
      ValueError: for other types and shapes, too few rows, and nan or infinite values, with the first bad row.
    """
    x = np.asarray(x)
    if x.ndim < 2 or len(x) < least or not x.size:
        raise ValueError(f"{name}: expected at least {least} rows (N, ...), got shape {x.shape}")
    if x.dtype == np.uint8:
        x = x / np.float32(255)
    elif x.dtype != bool and not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"{name}: expected floating-point values, uint8 pixels or bool, got {x.dtype}")
    if shape is not None and x[0].size != int(np.prod(shape)):
        raise ValueError(f"{name}: expected rows of shape {shape}, or of as many entries, got {x.shape[1:]}")
    x = x.astype(np.float32, copy=False)
    _require_finite(name, x)
    return x if shape is None else x.reshape(len(x), *shape)


def as_points(name: str, x: Any, dim: int | None = None, least: int = 1) -> np.ndarray:
    """Points (N, D) in float64, rows of other shapes flattened, checked as in `as_rows`."""
    x = np.asarray(x)
    if x.ndim < 2 or len(x) < least or not x.size or not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"{name}: expected at least {least} rows (N, D) of floats, got {x.dtype} of shape {x.shape}")
    x = x.reshape(len(x), -1).astype(np.float64)
    if dim is not None and x.shape[1] != dim:
        raise ValueError(f"{name}: expected rows of {dim} values, got {x.shape[1]}")
    _require_finite(name, x)
    return x


def as_classes(name: str, y: Any, rows: int | None = None, classes: int | None = None) -> np.ndarray:
    """Labels (N,) as int32, checked to be as many as there are `rows`, and below `classes`."""
    y = np.asarray(y)
    count = "N" if rows is None else rows
    if y.ndim != 1 or not y.size or y.dtype.kind not in "iu" or (rows is not None and len(y) != rows):
        raise ValueError(f"{name}: expected {count} integer labels, got {y.dtype} of shape {y.shape}")
    bad = np.flatnonzero((y < 0) | (y >= (2**31 if classes is None else classes)))
    if len(bad):
        wanted = "labels from 0" if classes is None else f"labels from 0 to {classes - 1}"
        raise ValueError(f"{name}: expected {wanted}, got {y[bad[0]]} in row {bad[0]}")
    return y.astype(np.int32)


def _require_finite(name: str, x: np.ndarray) -> None:
    bad = ~np.isfinite(x).reshape(len(x), -1).all(1)
    if bad.any():
        raise ValueError(f"{name}: expected finite values, got nan or inf in row {int(np.argmax(bad))}")
