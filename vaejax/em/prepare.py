"""The host's side of an EM fit: check the data, bring them to a standard frame, cut them into chunks."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Frame", "Rows", "prepare"]

_VALUES_AT_ONCE = 2**18  # what the host works on stays in its cache


class Rows(NamedTuple):
    """Data in the standard frame, cut into chunks of C rows; padding carries weight zero.

    Attributes:
      x: shape (n, D, C) for mixtures, which run down the rows, or (n, C, D) for second moments.
      w: weight of each row, shape (n, C), normalised so that they sum to the number of rows.
      mask: 1.0 where `x` is observed, of the shape of `x`; `None` where all of it is.
      centre: what is still to be subtracted from each row, shape (D,); `None` where nothing is. Second
        moments take the data as they are, so that wide tables are not copied on the host.
      factor: what each row is then still to be multiplied with, shape (D,).
    """

    x: jax.Array
    w: jax.Array
    mask: jax.Array | None
    centre: jax.Array | None = None
    factor: jax.Array | None = None


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


def _rows(x: Any, dim: int) -> np.ndarray:
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
    return x.reshape(x.shape[0], dim)


def _refuse(x: np.ndarray, missing: bool) -> None:
    """Name the first row that is not finite, if there is one."""
    bad = np.isinf(x) if missing else ~np.isfinite(x)
    if bad.any():
        row = int(np.argmax(bad.any(1)))
        hint = "" if missing or np.isinf(x[row]).any() else "; pass missing=True to treat nan as missing"
        raise ValueError(f"x: expected finite values, got {x[row][bad[row]][0]} in row {row}{hint}")


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
    return weights / weights.max()


def _measure(x: np.ndarray, weights: np.ndarray | None, missing: bool) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and variance of each column, in float64.

    The sums are taken about a provisional mean, in the precision of the data, and repeated about a
    better one where that was far off.
    """
    count, dim = x.shape
    with np.errstate(over="ignore", invalid="ignore"):
        at_once = max(256, _VALUES_AT_ONCE // dim)
        head = x[:at_once].astype(np.float64)
        seen_head = ~np.isnan(head)
        shift = np.where(seen_head, head, 0.0).sum(0) / np.maximum(seen_head.sum(0), 1)
        size = np.sqrt(np.nanmax(np.where(seen_head, (head - shift) ** 2, 0.0), initial=0.0))
        work = np.float32 if x.dtype != np.float64 and 1e-12 < size < 1e12 else np.float64
        variance = np.zeros(dim)
        for _ in range(4):
            centre = shift.astype(work)
            first, second, seen = np.zeros((3, dim))
            for start in range(0, count, at_once):
                block = x[start : start + at_once].astype(work)
                block -= centre
                w = np.ones(len(block), work) if weights is None else weights[start : start + len(block)].astype(work)
                if missing:
                    seen += w @ ~np.isnan(block)
                    np.nan_to_num(block, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
                else:
                    seen += w.sum()
                first += w @ block
                second += w @ np.square(block, out=block)
            if not np.all(np.isfinite(first)):
                _refuse(x, missing)
            if np.any(seen == 0):
                raise ValueError(f"x: column {int(np.argmin(seen))} has no observed value with a positive weight")
            offset = first / seen
            variance = np.maximum(second / seen - offset**2, 0.0)
            if not np.all(np.isfinite(variance)):
                bad = int(np.argmin(np.isfinite(variance)))
                raise ValueError(f"x: the values of column {bad} are too large to square")
            shift = centre.astype(np.float64) + offset
            if np.all(offset**2 <= 100.0 * variance) or not np.any(shift.astype(work) != centre):
                break
    # What rounding leaves of a constant column is not spread.
    variance[variance <= 1e-4 * (np.finfo(work).eps * np.abs(shift)) ** 2] = 0.0
    return shift, variance


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
    """Check the data, centre them, divide by standard deviations, and cut them into chunks.

    Args:
      x: rows (N, D) or images.
      weights: of each row, or `None`.
      dim: D.
      per_column: divide each column by its own standard deviation (a constant one by the root mean
        variance); else all by the root mean variance (1 where every column is constant).
      missing: whether nan is missing rather than wrong.
      size: rows in a chunk, about.
      rows_last: chunks of shape (D, C) instead of (C, D).
      double: keep float64 data in float64; everything else is float32.
      devices: the number of chunks is a multiple of it.
    """
    x = _rows(x, dim)
    checked = _weights(weights, len(x))
    pixels = 255.0 if x.dtype == np.uint8 else 1.0
    shift, variance = _measure(x, checked, missing)
    overall = variance.mean() if variance.any() else pixels**2
    scale = np.sqrt(np.where(variance > 0, variance, overall) if per_column else np.full(dim, overall))

    count = len(x)
    chunks = devices * max(1, math.ceil(count / (size * devices)))
    size = 8 * math.ceil(count / chunks / 8)
    dtype = np.float64 if double and x.dtype == np.float64 else np.float32
    # Far from the origin, or outside the range of float32, the subtraction needs float64.
    far = np.any(np.abs(shift) > 100.0 * scale) or not np.all((scale > 1e-12) & (scale < 1e12))
    work = np.float64 if x.dtype == np.float64 or far else np.float32
    centre, factor = shift.astype(work), (1.0 / scale).astype(work)
    w = np.zeros(chunks * size, dtype)
    w[:count] = 1.0 if checked is None else checked * (count / checked.sum())
    log_jacobian = float(np.log(scale / pixels).sum())
    total = float(count if checked is None else np.asarray(weights, np.float64).sum())
    if not (rows_last or far or missing) and x.dtype in (np.uint8, dtype):
        if chunks * size > count:
            x = np.concatenate([x, np.zeros((chunks * size - count, dim), x.dtype)])
        frame = Frame(shift / pixels, scale / pixels, log_jacobian, total)
        return Rows(x.reshape(chunks, size, dim), w.reshape(chunks, size), None, centre, factor), frame  # type: ignore[arg-type]
    rows = np.zeros((chunks, dim, size) if rows_last else (chunks, size, dim), dtype)
    for i in range(chunks):
        block = x[i * size : (i + 1) * size].astype(work)
        block -= centre
        block *= factor
        if missing and len(block):
            log_jacobian -= (
                float(w[i * size : i * size + len(block)] @ (np.isnan(block) @ np.log(scale / pixels))) / count
            )
        if rows_last:
            rows[i, :, : len(block)] = block.T
        else:
            rows[i, : len(block)] = block
    if rows_last:  # what a row without weight holds must not overflow where it is whitened
        rows[np.broadcast_to((w.reshape(chunks, 1, size) == 0), rows.shape)] = 0.0
    mask = None
    if missing:
        mask = (~np.isnan(rows)).astype(dtype)
        np.nan_to_num(rows, copy=False, nan=0.0)
    frame = Frame(shift / pixels, scale / pixels, log_jacobian, total)
    return Rows(rows, w.reshape(chunks, size), mask), frame  # type: ignore[arg-type]
