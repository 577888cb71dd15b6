"""Data of a user in memory, arrays and named columns, in the forms that training takes; notes tell every conversion."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaejax.data.dataset import Dataset, Split

__all__ = ["X_NAMES", "Y_NAMES", "column", "from_columns", "loaded_labels", "loaded_rows", "named_classes"]

_MOST = 2**31  # bytes of rows that were converted

X_NAMES = ("x", "image", "img", "images", "pixel_values")
Y_NAMES = ("y", "label", "labels", "fine_label")


def from_columns(
    data: Any, *, x: str | None = None, y: str | None = None, validation: int | float = 0, seed: int = 0
) -> Dataset:
    """Take data with named columns, or a mapping of their parts.

    A part is anything whose columns are found by `part[name]`: a dict of arrays, a `datasets.Dataset`
    (images of PIL included), a data frame. A mapping of parts has `"train"`, and `"validation"` and
    `"test"` where there are any, as `datasets.load_dataset` returns it.

    Args:
      data: the columns or the parts.
      x: column of the rows or images; default: x, image, img, images or pixel_values.
      y: column of the labels; default: y, label, labels or fine_label, if there is one.
      validation: rows (or share of them) cut from train, where no validation part comes with the data.
      seed: of the choice of the validation rows.

    Returns:
      A `Dataset`, whose `notes` say what was converted.

    >>> data = from_columns({"image": np.zeros((10, 4, 4), np.uint8), "label": np.arange(10)}, validation=2)
    >>> data.train.x.shape, data.validation.y.shape
    ((8, 4, 4, 1), (2,))
    """
    parts = data if isinstance(data, Mapping) and "train" in data else {"train": data}
    notes: list[str] = []
    splits = {name: _split(parts[name], name, x, y, notes) for name in ("train", "validation", "test") if name in parts}
    whole = Dataset(splits["train"], splits.get("validation"), splits.get("test"), notes=tuple(dict.fromkeys(notes)))
    return whole if whole.validation else whole.cut(validation, seed)


def column(names: Any, known: tuple[str, ...]) -> str | None:
    """The first of the `known` names of a column that is among `names`."""
    return next((name for name in known if name in names), None)


def _names(part: Any) -> list[str]:
    for attribute in ("column_names", "columns"):
        if hasattr(part, attribute):
            return [str(name) for name in getattr(part, attribute)]
    if isinstance(part, Mapping):
        return [str(name) for name in part]
    raise ValueError(f"data: expected named columns (a dict of arrays, a Hugging Face dataset), got {type(part)}")


def _split(part: Any, where: str, x: str | None, y: str | None, notes: list[str]) -> Split:
    names = _names(part)
    for name in filter(None, (x, y)):
        if name not in names:
            raise ValueError(f"{where}: expected the column {name!r}, got {names}")
    x, y = x or column(names, X_NAMES), y or column(names, Y_NAMES)
    if x is None:
        raise ValueError(f"{where}: expected one of the columns {', '.join(X_NAMES)}, got {names}; name it with x=")
    at = f"{where}: column"
    labels = None if y is None else loaded_labels(_array(part[y], f"{at} {y}"), f"{at} {y}")
    return Split(loaded_rows(_array(part[x], f"{at} {x}"), f"{at} {x}", notes), labels)


def _array(values: Any, where: str) -> np.ndarray:
    """A column as one array; a sequence of images or vectors is stacked."""
    if hasattr(values, "__array__"):
        return np.asarray(values)
    arrays = [np.asarray(value) for value in values]
    for i, array in enumerate(arrays):
        if array.shape != arrays[0].shape or array.dtype != arrays[0].dtype:
            expected = f"{arrays[0].dtype} of shape {arrays[0].shape} as in row 0"
            raise ValueError(f"{where}: expected {expected}, got {array.dtype} of shape {array.shape} in row {i}")
    return np.stack(arrays) if arrays else np.zeros(0)


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
    if x.size * becomes.itemsize > _MOST:
        raise ValueError(
            f"{where}: expected at most {_MOST} bytes as {becomes}: read it as a stream (vaejax.data.Stream)"
        )
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
