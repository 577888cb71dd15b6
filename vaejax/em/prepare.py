"""The host's side of an EM fit: check the data, bring them to a standard frame, cut them into chunks."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Frame", "Rows", "chunk_rows", "prepare", "standardize"]

_ROWS_AT_ONCE = 16384


class Rows(NamedTuple):
    """Data in the standard frame, cut into chunks of C rows; padding carries weight zero.

    Attributes:
      x: shape (n, D, C) for mixtures, which run down the rows, or (n, C, D) for second moments.
      w: weight of each row, shape (n, C), normalised so that they sum to the number of rows.
      mask: 1.0 where `x` is observed, of the shape of `x`; `None` where all of it is.
    """

    x: jax.Array
    w: jax.Array
    mask: jax.Array | None


class Frame(NamedTuple):
    """The standard frame: data = shift + scale * standardised, in float64 on the host.

    Attributes:
      shift: weighted mean of each column, shape (D,).
      scale: standard deviations, shape (D,); all equal where one number serves every column.
      log_jacobian: mean over the rows of the sum of log scale over their observed entries.
      total: sum of the weights as given.
    """

    shift: np.ndarray
    scale: np.ndarray
    log_jacobian: float
    total: float


def _rows(x: Any, dim: int, missing: bool) -> np.ndarray:
    """Check `x` and return it as (N, D), of its own dtype (uint8 pixels stay uint8)."""
    x = np.asarray(x)
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        if not jnp.issubdtype(x.dtype, jnp.floating):  # bfloat16 and its kin pass
            raise ValueError(
                f"x: expected floating-point rows or uint8 images, got {x.dtype}; "
                "where the numbers are meant as measurements, cast them with x.astype(float)"
            )
        x = x.astype(np.float32)
    if x.ndim < 2:
        raise ValueError(f"x: expected shape (N, {dim}) or (N, H, W, C), got {x.shape}")
    if x.shape[0] == 0:
        raise ValueError(f"x: expected at least one row, got shape {x.shape}")
    width = math.prod(x.shape[1:])
    if width != dim:
        raise ValueError(f"x: expected rows of {dim} values, got {width} (shape {x.shape})")
    x = x.reshape(x.shape[0], dim)
    if x.dtype == np.uint8:
        return x
    for start in range(0, len(x), _ROWS_AT_ONCE):
        part = x[start : start + _ROWS_AT_ONCE]
        # A sum is finite only if all entries are (or it overflows): the cheap test first.
        with np.errstate(over="ignore", invalid="ignore"):
            clean = np.isfinite(part.sum())
        if not clean:
            bad = np.isinf(part) if missing else ~np.isfinite(part)
            if bad.any():
                row = start + int(np.argmax(bad.any(1)))
                hint = "" if missing or np.isinf(x[row]).any() else "; pass missing=True to treat nan as missing"
                raise ValueError(f"x: expected finite values, got {x[row][~np.isfinite(x[row])][0]} in row {row}{hint}")
    return x


def _weights(weights: Any, count: int) -> np.ndarray | None:
    if weights is None:
        return None
    weights = np.asarray(weights)
    if weights.dtype == bool or not (
        np.issubdtype(weights.dtype, np.floating) or np.issubdtype(weights.dtype, np.integer)
    ):
        raise ValueError(f"weights: expected numbers, got {weights.dtype}")
    if weights.shape != (count,):
        raise ValueError(f"weights: expected shape ({count},), got {weights.shape}")
    weights = weights.astype(np.float64)
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        row = int(np.argmax(~np.isfinite(weights) | (weights < 0)))
        raise ValueError(f"weights: expected finite, non-negative numbers, got {weights[row]} in row {row}")
    if not weights.sum() > 0:
        raise ValueError(f"weights: expected a positive sum, got {weights.sum()}")
    return weights


def _float64(part: np.ndarray) -> np.ndarray:
    return part / 255.0 if part.dtype == np.uint8 else part.astype(np.float64)


def standardize(
    x: np.ndarray, weights: np.ndarray | None, *, per_column: bool, missing: bool, dtype: Any
) -> tuple[np.ndarray, Frame]:
    """Centre in float64 and divide by standard deviations, a column's own or one for all.

    A constant column takes the root mean square of the others' scales (1 where all are constant).
    """
    count, dim = x.shape
    total = float(count if weights is None else weights.sum())
    sums, seen = np.zeros((3, dim)), np.zeros(dim)
    parts = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, count, _ROWS_AT_ONCE)]
    for power in (0, 1):  # the mean first, then its rounding error and the variance about it
        shift = sums[0] / np.maximum(seen, 1e-300) if power else np.zeros(dim)
        for part in parts:
            block = _float64(x[part]) - shift
            w = np.ones(len(block)) if weights is None else weights[part]
            if missing:
                if not power:
                    seen += w @ ~np.isnan(block)
                block = np.nan_to_num(block, nan=0.0)
            elif not power:
                seen += w.sum()
            if power:
                with np.errstate(over="ignore"):
                    sums[1] += w @ block
                    sums[2] += w @ (block * block)
            else:
                sums[0] += w @ block
    if np.any(seen == 0):
        raise ValueError(f"x: column {int(np.argmin(seen))} has no observed value with a positive weight")
    correction = sums[1] / seen
    shift = shift + correction
    variance = np.maximum(sums[2] / seen - correction**2, 0.0)
    if not np.all(np.isfinite(variance)):
        raise ValueError(f"x: the values of column {int(np.argmin(np.isfinite(variance)))} are too large to square")
    # What float64 rounding leaves of a constant column is not spread.
    variance = np.where(variance <= (1e-15 * np.abs(shift)) ** 2 * 16, 0.0, variance)
    overall = variance.mean() if variance.any() else 1.0
    scale = np.sqrt(np.where(variance > 0, variance, overall) if per_column else np.full(dim, overall))
    result = np.empty((count, dim), dtype)
    log_jacobian = 0.0
    for part in parts:
        block = (_float64(x[part]) - shift) / scale
        if missing:
            w = np.ones(len(block)) if weights is None else weights[part]
            log_jacobian += float(w @ (~np.isnan(block) @ np.log(scale))) / total
        result[part] = block
    if not missing:
        log_jacobian = float(np.log(scale).sum())
    return result, Frame(shift, scale, log_jacobian, total)


def chunk_rows(
    x: np.ndarray, weights: np.ndarray | None, *, size: int, rows_last: bool, missing: bool, devices: int = 1
) -> Rows:
    """Cut standardised rows into equal chunks of at most about `size` rows, a multiple of `devices` of them."""
    count, dim = x.shape
    chunks = devices * max(1, math.ceil(count / (size * devices)))
    size = 8 * math.ceil(count / chunks / 8)
    padded = np.zeros((chunks * size, dim), x.dtype)
    padded[:count] = x
    w = np.zeros(chunks * size, x.dtype)
    w[:count] = 1.0 if weights is None else weights * (count / weights.sum())
    x = padded.reshape(chunks, size, dim)
    if rows_last:
        x = np.ascontiguousarray(np.swapaxes(x, 1, 2))
    mask = None
    if missing:
        mask = (~np.isnan(x)).astype(x.dtype)
        x = np.nan_to_num(x, nan=0.0)
    return Rows(x, w.reshape(chunks, size), mask)  # type: ignore[arg-type]


def prepare(
    x: Any,
    weights: Any,
    dim: int,
    *,
    per_column: bool,
    missing: bool,
    size: int,
    rows_last: bool,
    double: bool,
    devices: int = 1,
) -> tuple[Rows, Frame]:
    """Check, standardise and chunk; see the parts. `double` keeps float64 data in float64."""
    rows = _rows(x, dim, missing)
    checked = _weights(weights, len(rows))
    dtype = np.float64 if double and rows.dtype == np.float64 else np.float32
    standard, frame = standardize(rows, checked, per_column=per_column, missing=missing, dtype=dtype)
    chunks = chunk_rows(standard, checked, size=size, rows_last=rows_last, missing=missing, devices=devices)
    return chunks, frame
