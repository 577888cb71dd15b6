"""Arrays of a user as rows or images in the forms that training takes, with a note on every conversion."""

import numpy as np

__all__ = ["loaded_labels", "loaded_rows", "named_classes"]


def loaded_rows(x: np.ndarray, where: object, notes: list[str]) -> np.ndarray:
    """Images as uint8 or float32 with a channel axis at the end; tables as exact as they are.

    Args:
      x: (N, D) numbers, or images (N, H, W), (N, H, W, C) or (N, C, H, W), C = 1 or 3, of uint8 or floats.
      where: place of the array, for errors.
      notes: takes a line for every conversion.
    """
    if x.dtype.kind not in "fiu":
        raise ValueError(f"{where}: expected numbers, got {x.dtype}")
    if not 2 <= x.ndim <= 4 or 0 in x.shape:
        expected = "rows (N, D) or images (N, H, W[, C]) with no empty axis"
        raise ValueError(f"{where}: expected {expected}, got shape {x.shape}")
    if x.ndim > 2 and x.dtype.kind != "f" and x.dtype != np.uint8:
        raise ValueError(f"{where}: expected images as uint8 or floats, got {x.dtype} of shape {x.shape}")
    if x.ndim == 4 and x.shape[-1] not in (1, 3) and x.shape[1] in (1, 3):
        notes.append(f"{where}: {x.shape} read as (N, C, H, W), channels moved to the end")
        x = np.moveaxis(x, 1, -1)
    if x.ndim == 3:
        notes.append(f"{where}: {x.shape} read as images of one channel")
        x = x[..., None]
    if x.dtype in (np.float32, np.float64 if x.ndim == 2 else np.uint8):
        return np.ascontiguousarray(x)
    # A column of times or numbers may need more digits than float32 has.
    becomes = np.dtype(np.float64 if x.ndim == 2 and x.dtype != np.float16 else np.float32)
    notes.append(f"{where}: {x.dtype} became {becomes}")
    with np.errstate(over="ignore"):  # values that are too large become infinite, and training refuses them by row
        return x.astype(becomes)


def loaded_labels(y: np.ndarray, where: object) -> np.ndarray:
    """Labels as int32; whole numbers in floating point count as labels."""
    whole = y.dtype.kind in "iu" or (y.dtype.kind == "f" and np.all(np.isfinite(y)) and np.all(y == np.round(y)))
    if y.ndim != 1 or not whole or (y.size and (y.min() < -(2**31) or y.max() >= 2**31)):
        expected = "one axis of integer labels within 32 bits"
        raise ValueError(f"{where}: expected {expected}, got {y.dtype} of shape {y.shape}")
    return y.astype(np.int32)


def named_classes(words: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of classes in alphabetic order, and the number of each word's."""
    names, y = np.unique(np.array(words), return_inverse=True)
    return tuple(map(str, names)), y.astype(np.int32)
