"""The host's side of EM: checks of the data, their standard frame, chunks of them, and the way back."""

import contextlib
import math
import warnings
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from vaejax.checks import numpy_array, require_each_row, require_number, require_supported
from vaejax.data import Dataset, Split, Stream
from vaejax.data.inputs import PIXELS
from vaejax.em.step import Chunks, EMStep
from vaejax.types import ArrayLike, Params

__all__ = ["EMRows", "Frame", "chunked", "restored", "wide"]

EMRows: TypeAlias = ArrayLike | Split | Dataset
_VALUES_AT_ONCE = 2**18  # what the host works on stays in its cache


class Frame(NamedTuple):
    """The standard frame: data = shift + scale * standardised, in float64 on the host.

    Attributes:
      shift: weighted mean of each column.
      scale: standard deviations; all equal where one number serves every column.
      log_jacobian: mean over the rows of the sum of log scale over their observed entries.
      total: sum of the weights as given.
      floor: the variance floor in this frame; none lies below what the precision of the rows resolves.
      double: whether parameters come back in float64: as the data are, where JAX is set to it.
    """

    shift: Float[np.ndarray, " D"]
    scale: Float[np.ndarray, " D"]
    log_jacobian: float
    total: float
    floor: float
    double: bool


def chunked(
    step: EMStep,
    x: EMRows,
    weights: ArrayLike | None = None,
    *,
    variance_floor: float | None = None,
    missing: bool = False,
    restarts: int = 1,
    devices: int = 1,
) -> tuple[Chunks, Frame]:
    """Check the data, bring them to the frame of a step, and cut them into chunks of NumPy arrays.

    A column is divided by its standard deviation (a constant one by the root mean variance), or, where the step's
    frame is common, by the root mean variance (1 where every column is constant).

    Args:
      step: the EM step.
      x: rows (N, D) or images.
      weights: of the rows.
      variance_floor: in squared units of `x`, for which all columns are divided by one number; default: the step's.
      missing: whether nan is missing rather than wrong.
      restarts: steps that run side by side.
      devices: the number of chunks is a multiple of it.
    """
    x = _array(x)
    values = _values(step, x, missing)
    count, dim = values.shape
    w = _weights(weights, count)
    mean, variance, observed = _measure(values, w, missing)
    pixels = 255.0 if values.dtype == np.uint8 else 1.0
    shift, scale = np.zeros(dim), np.full(dim, pixels)
    if step.frame != "none":
        overall = variance.mean() if variance.any() else pixels**2
        together = variance_floor is not None or step.frame == "common"
        shift, scale = mean, np.sqrt(np.full(dim, overall) if together else np.where(variance > 0, variance, overall))
    total = float(count if weights is None else np.asarray(weights, np.float64).sum())
    dtype = np.float64 if (step.double or _x64()) and values.dtype == np.float64 else np.float32
    floor = step.floor(np.dtype(dtype))
    if variance_floor is not None:
        floor = require_number("variance_floor", variance_floor, least=0.0) * (pixels / scale[0]) ** 2
        floor = max(floor, float(np.finfo(dtype).eps) ** 2)
    is_double = x.dtype == np.float64 and _x64()
    log_jacobian = float(observed @ np.log(scale / pixels))
    frame = Frame(shift / pixels, scale / pixels, log_jacobian, total, floor, is_double)

    size = _chunk_size(step.width, restarts, step.double or _x64())
    chunks = devices * max(1, math.ceil(count / (size * devices)))
    size = 8 * math.ceil(count / chunks / 8)
    # Far from the origin, or outside the range of float32, the subtraction needs float64.
    far = np.any(np.abs(shift) > 100.0 * scale) or not np.all((scale > 1e-12) & (scale < 1e12))
    work = np.float64 if values.dtype == np.float64 or far else np.float32
    centre, factor = shift.astype(work), (1.0 / scale).astype(work)
    padded: Any = np.zeros((chunks, size), dtype)
    padded.reshape(-1)[:count] = 1.0 if w is None else w * (count / w.sum())
    if step.rows_first and not (far or missing) and values.dtype in (np.uint8, dtype):
        if chunks * size > count:
            values = np.concatenate([values, np.zeros((chunks * size - count, dim), values.dtype)])
        rows: Any = values.reshape(chunks, size, dim)
        return Chunks(rows, padded, raw=(centre, factor)), frame
    rows = np.zeros((chunks, size, dim) if step.rows_first else (chunks, dim, size), dtype)
    for i in range(chunks):
        block = values[i * size : (i + 1) * size].astype(work)
        block -= centre
        block *= factor
        (rows[i] if step.rows_first else rows[i].T)[: len(block)] = block
    if not step.rows_first:  # what a row without weight holds must not overflow where it is whitened
        rows[np.broadcast_to(padded[:, None] == 0, rows.shape)] = 0.0
    mask = None
    if missing:
        mask = (~np.isnan(rows)).astype(dtype)
        np.nan_to_num(rows, copy=False, nan=0.0)
    return Chunks(rows, padded, mask), frame


def _chunk_size(width: int, restarts: int, double: bool) -> int:
    """Rows in a chunk: about 2 MiB of numbers on a CPU, where they stay in the cache, and 64 MiB elsewhere."""
    cpu = jax.default_backend() == "cpu"
    budget = (2**21 if cpu else 2**26) // (8 if double else 4)
    size = 2 ** int(math.log2(max(1, budget // (width * restarts))))
    return min(max(size, 64), 2**14 if cpu else 2**20)


def _array(x: EMRows) -> np.ndarray:
    if isinstance(x, Stream):
        raise ValueError("x: expected rows in memory, which EM reads at every step, got a Stream")
    x = x.train if isinstance(x, Dataset) else x
    return numpy_array(x.x if isinstance(x, Split) else x)


def _values(step: EMStep, x: np.ndarray, missing: bool) -> np.ndarray:
    """Check `x` and return it as (N, D), of its own dtype (uint8 pixels stay uint8)."""
    dim = math.prod(step.model.event_shape)
    # A table of integers is rather labels or counts than measurements; bool serves models of zeros and ones.
    if jnp.issubdtype(x.dtype, jnp.floating):
        x = x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float32)  # bfloat16 and its kin
    elif x.dtype == bool and step.frame == "none":
        x = x.astype(np.float32)
    elif x.dtype != np.uint8:
        raise ValueError(
            f"x: expected floating-point rows or uint8 images, got {x.dtype}; "
            "where the numbers are meant as measurements, cast them with x.astype(float)"
        )
    if x.ndim < 2 or not len(x) or math.prod(x.shape[1:]) != dim:
        raise ValueError(f"x: expected rows of {dim} values (N, {dim}) or images (N, H, W, C), got shape {x.shape}")
    if x.dtype == np.uint8 and x.ndim == 2:  # images have more axes
        warnings.warn(f"x: {PIXELS}", stacklevel=4)
    x = x.reshape(len(x), dim)
    if step.model.support is not None and x.dtype != np.uint8:
        require_supported("x", x, step.model.support, missing)
    return x


def _weights(weights: Any, count: int) -> np.ndarray | None:
    if weights is None:
        return None
    weights = np.asarray(weights)
    if weights.dtype.kind not in "fiub":
        raise ValueError(f"weights: expected numbers, got {weights.dtype}")
    if weights.shape != (count,):
        raise ValueError(f"weights: expected shape ({count},), got {weights.shape}")
    weights = weights.astype(np.float64)
    require_each_row("weights", weights, np.isfinite(weights) & (weights >= 0), "finite, non-negative numbers")
    if not weights.sum() > 0:
        raise ValueError(f"weights: expected a positive sum, got {weights.sum()}")
    return weights / weights.max()


def _measure(x: np.ndarray, weights: np.ndarray | None, missing: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted mean, variance and observed fraction of each column, in float64.

    The sums are taken about a provisional mean, in the precision of the data, and repeated about a
    better one where that was far off.
    """
    count, dim = x.shape
    w_all = np.ones(count) if weights is None else weights
    at_once = max(256, _VALUES_AT_ONCE // dim)
    with np.errstate(over="ignore", invalid="ignore"):
        head = x[:at_once].astype(np.float64)
        seen_head = ~np.isnan(head)
        shift = np.where(seen_head, head, 0.0).sum(0) / np.maximum(seen_head.sum(0), 1)
        size = np.sqrt(np.nanmax(np.where(seen_head, (head - shift) ** 2, 0.0), initial=0.0))
        work = np.float32 if x.dtype != np.float64 and 1e-12 < size < 1e12 else np.float64
        variance = seen = np.zeros(dim)
        for _ in range(4):
            centre = shift.astype(work)
            first, second, seen = np.zeros((3, dim))
            for start in range(0, count, at_once):
                block = x[start : start + at_once].astype(work)
                block -= centre
                w = w_all[start : start + at_once].astype(work)
                if missing:
                    seen += w @ ~np.isnan(block)
                    np.nan_to_num(block, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
                else:
                    seen += w.sum()
                first += w @ block
                second += w @ np.square(block, out=block)
            if not np.all(np.isfinite(first)):
                good = ~np.isinf(x) if missing else np.isfinite(x)
                require_each_row("x", x, good, f"finite values{'' if missing else ' (missing=True takes nan)'}")
            if np.any(seen == 0):
                raise ValueError(f"x: column {int(np.argmin(seen))} has no observed value with a positive weight")
            offset = first / seen
            variance = np.maximum(second / seen - offset**2, 0.0)
            if not np.all(np.isfinite(variance)):
                raise ValueError(f"x: the values of column {np.argmin(np.isfinite(variance))} are too large to square")
            shift = centre.astype(np.float64) + offset
            if np.all(offset**2 <= 100.0 * variance) or not np.any(shift.astype(work) != centre):
                break
    # What rounding leaves of a constant column is not spread.
    variance[variance <= 1e-4 * (np.finfo(work).eps * np.abs(shift)) ** 2] = 0.0
    return shift, variance, seen / w_all.sum()


def _x64() -> bool:
    return jnp.result_type(float) == np.float64


def wide() -> contextlib.AbstractContextManager[None]:
    """Enable float64 for the sums and the small matrices of a fit, where the backend has it; rows stay as they are."""
    return jax.enable_x64(jax.default_backend() != "tpu" or _x64())


def restored(step: EMStep, params: Params, frame: Frame) -> Params:
    """Parameters in the units and the precision of the data."""
    params = step.rescale(jax.tree.map(np.asarray, params), frame.shift, frame.scale)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, np.float64 if frame.double else np.float32), params)
