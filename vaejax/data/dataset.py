"""Data in parts: rows to train on, to choose by and to test on."""

import dataclasses
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from vaejax.data.standardize import Scaling

__all__ = ["Dataset", "Split", "hold_out", "share"]


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows and their labels.

    Attributes:
      x: images as uint8 (N, H, W, C), which consumers scale to [0, 1], or rows (N, D) of floats.
      y: int32 labels (N,), or `None`.
    """

    x: np.ndarray
    y: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.y is not None and self.y.shape != self.x.shape[:1]:
            raise ValueError(f"y: expected {self.x.shape[:1]} labels, got shape {self.y.shape}")

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: slice | np.ndarray) -> "Split":
        """The rows at `index`."""
        return Split(self.x[index], None if self.y is None else self.y[index])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A train part to fit on, a validation part to choose by, a test part to touch once.

    Attributes:
      train: always there.
      validation: cut from train by a stated seed, or `None`.
      test: `None` where the data bring none.
      scaling: how `standardize` scaled the rows, or `None`.
      classes: words for the labels 0, 1, ..., where the data have them.
      columns: names of the columns of a table, where the data have them.
      notes: conversions on the way in.
    """

    train: Split
    validation: Split | None = None
    test: Split | None = None
    scaling: "Scaling | None" = None
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = self.train.x.shape[1:]
        for name, part in (("validation", self.validation), ("test", self.test)):
            if part is not None and part.x.shape[1:] != shape:
                raise ValueError(
                    f"{name}: expected rows of shape {shape}, as the train part has, got {part.x.shape[1:]}"
                )

    @property
    def parts(self) -> tuple[Split, Split | None, Split | None]:
        """Train, validation and test."""
        return self.train, self.validation, self.test

    def cut(self, validation: int | float, seed: int) -> "Dataset":
        """The same data with a validation part from train, as `hold_out` chooses it."""
        train, held = hold_out(self.train, validation, seed)
        return dataclasses.replace(self, train=train, validation=held)


Data = TypeVar("Data", Dataset, Split)


def hold_out(split: Split, validation: int | float, seed: int) -> tuple[Split, Split | None]:
    """Cut a validation part off, rows chosen by `seed`.

    Args:
      split: the rows to cut.
      validation: number of rows, or their share if it is a float below 1; 0 for none.
      seed: of the choice, as for `numpy.random.default_rng`.

    Returns:
      `(the rest, validation part or None)`; both keep the order of the rows.

    >>> rest, held = hold_out(Split(np.arange(10.0)[:, None]), 3, seed=0)
    >>> len(rest), len(held)
    (7, 3)
    """
    count = round(validation * len(split)) if isinstance(validation, float) and validation < 1 else validation
    if isinstance(count, bool) or count != int(count) or not 0 <= count < len(split):
        raise ValueError(f"validation: expected 0 to {len(split) - 1} rows or a share below 1, got {validation!r}")
    if count == 0:
        return split, None
    held = np.zeros(len(split), bool)
    held[np.random.default_rng(seed).choice(len(split), int(count), replace=False)] = True
    return split.take(~held), split.take(held)


def share(data: Data, index: int, count: int) -> Data:
    """The rows of one of several processes: an equal part of train, in order; the other parts are left whole.

    Args:
      data: the data, the same in every process.
      index: of the process, `jax.process_index()`.
      count: of the processes, `jax.process_count()`.

    >>> split = Split(np.arange(5.0)[:, None])
    >>> [share(split, i, 2).x.ravel().tolist() for i in range(2)]
    [[0.0, 1.0], [2.0, 3.0, 4.0]]
    """
    if not 0 <= index < count:
        raise ValueError(f"index: expected 0 to {count - 1}, got {index}")
    if isinstance(data, Dataset):
        return dataclasses.replace(data, train=share(data.train, index, count))
    return data.take(slice(len(data) * index // count, len(data) * (index + 1) // count))
