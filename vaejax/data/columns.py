"""Data in named columns: dicts of arrays, data frames, the data sets of Hugging Face."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaejax.data.arrays import loaded_labels, loaded_rows
from vaejax.data.dataset import Dataset, Split

__all__ = ["X_NAMES", "Y_NAMES", "column", "from_columns"]

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
