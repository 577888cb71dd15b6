"""Data in named columns: dicts of arrays and the data sets of Hugging Face, by what they look like."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaejax.data.arrays import as_labels, as_rows
from vaejax.data.dataset import Dataset, Split, hold_out

__all__ = ["X_NAMES", "Y_NAMES", "from_columns"]

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
      x: column of the rows or images; unless told one of x, image, img, images, pixel_values.
      y: column of the labels; unless told one of y, label, labels, fine_label, if there is one.
      validation: rows (or share of them) cut from train, where no validation part comes with the data.
      seed: of the choice of the validation rows.

    Returns:
      A `Dataset`, whose `notes` say what was converted.

    >>> data = from_columns({"image": np.zeros((10, 4, 4), np.uint8), "label": np.arange(10)}, validation=2)
    >>> data.train.x.shape, data.validation.y.shape
    ((8, 4, 4, 1), (2,))
    """
    if isinstance(data, Mapping) and "train" in data:
        parts = {name: data[name] for name in ("train", "validation", "test") if name in data}
    else:
        parts = {"train": data}
    notes: list[str] = []
    splits = {name: _split(part, name, x, y, notes) for name, part in parts.items()}
    train, held = splits["train"], splits.get("validation")
    if held is None:
        train, held = hold_out(train, validation, seed)
    return Dataset(train, held, splits.get("test"), notes=tuple(dict.fromkeys(notes)))


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
    x = x or next((name for name in X_NAMES if name in names), None)
    y = y or next((name for name in Y_NAMES if name in names), None)
    if x is None:
        raise ValueError(f"{where}: expected one of the columns {', '.join(X_NAMES)}, got {names}; name it with x=")
    rows = as_rows(_array(part[x], f"{where}: column {x}"), f"{where}: column {x}", notes)
    labels = None if y is None else as_labels(_array(part[y], f"{where}: column {y}"), f"{where}: column {y}")
    return Split(rows, labels)


def _array(column: Any, where: str) -> np.ndarray:
    """A column as one array; a sequence of images or vectors is stacked."""
    if hasattr(column, "__array__"):
        return np.asarray(column)
    each = [np.asarray(value) for value in column]
    for i, value in enumerate(each):
        if value.shape != each[0].shape or value.dtype != each[0].dtype:
            wanted = f"{each[0].dtype} of shape {each[0].shape} as in row 0"
            raise ValueError(f"{where}: expected {wanted}, got {value.dtype} of shape {value.shape} in row {i}")
    return np.stack(each) if each else np.zeros(0)
