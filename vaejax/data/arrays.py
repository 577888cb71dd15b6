"""What becomes of a user's arrays: rows or images in the forms that training takes, with a word on every conversion."""

import numpy as np

__all__ = ["as_labels", "as_rows", "named_classes"]


def as_rows(x: np.ndarray, where: object, notes: list[str]) -> np.ndarray:
    """Images stay uint8 or become float32, with a channel axis at the end; tables stay as exact as they are.

    Args:
      x: (N, D) numbers, or images (N, H, W), (N, H, W, C) or (N, C, H, W), C = 1 or 3, of uint8 or floats.
      where: what an error names.
      notes: takes a line for every conversion.
    """
    if x.dtype.kind not in "fiu":
        raise ValueError(f"{where}: expected numbers, got {x.dtype}")
    if x.ndim < 2 or x.ndim > 4 or 0 in x.shape:
        wanted = "rows (N, D) or images (N, H, W[, C]) with no empty axis"
        raise ValueError(f"{where}: expected {wanted}, got shape {x.shape}")
    if x.ndim > 2 and x.dtype.kind != "f" and x.dtype != np.uint8:
        raise ValueError(f"{where}: expected images as uint8 or floats, got {x.dtype} of shape {x.shape}")
    if x.ndim == 4 and x.shape[-1] not in (1, 3) and x.shape[1] in (1, 3):
        notes.append(f"{where}: {x.shape} read as (N, C, H, W), channels moved to the end")
        x = np.moveaxis(x, 1, -1)
    if x.ndim == 3:
        notes.append(f"{where}: {x.shape} read as images of one channel")
        x = x[..., None]
    if x.dtype == np.float32 or (x.ndim == 4 and x.dtype == np.uint8) or (x.ndim == 2 and x.dtype == np.float64):
        return np.ascontiguousarray(x)
    if x.ndim == 2 and x.dtype != np.float16:  # a column of times or numbers may need more digits than float32 has
        notes.append(f"{where}: {x.dtype} became float64")
        return x.astype(np.float64)
    notes.append(f"{where}: {x.dtype} became float32")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which training refuses by its row
        return x.astype(np.float32)


def as_labels(y: np.ndarray, where: object) -> np.ndarray:
    """Labels as int32; whole numbers in floating point count as labels."""
    whole = y.dtype.kind in "iu" or (y.dtype.kind == "f" and np.all(np.isfinite(y)) and np.all(y == np.round(y)))
    if y.ndim != 1 or not whole or (y.size and (y.min() < -(2**31) or y.max() >= 2**31)):
        raise ValueError(
            f"{where}: expected one axis of integer labels within 32 bits, got {y.dtype} of shape {y.shape}"
        )
    return y.astype(np.int32)


def named_classes(words: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of classes in alphabetic order, and the number of each word's."""
    names, y = np.unique(np.array(words), return_inverse=True)
    return tuple(map(str, names)), y.astype(np.int32)
