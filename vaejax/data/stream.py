"""Data larger than memory: a source that is opened anew for each epoch and gives rows piece by piece."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vaejax.checks import require_integer
from vaejax.data.arrays import X_NAMES, Y_NAMES, column
from vaejax.data.dataset import Split

__all__ = ["Stream"]


class Stream:
    """Rows that come in pieces, in the order in which training takes them.

    A piece is an array of rows (or one row), a pair (rows, labels or contexts), a `Split`, or a dict with columns
    named as `from_columns` knows them. Pieces may differ in length, not in type. Among several processes an epoch ends
    with the shortest stream.

    Args:
      source: a function of the epoch (0, 1, ...) that gives an iterable of pieces; or something that can be
        iterated again each epoch, such as a Grain dataset or a list. An iterator with `get_state` and
        `set_state`, as Grain's, is moved to its place when a run goes on; others are read up to it.
      rows: about how many rows an epoch has, of this process; a schedule over the run needs it.

    >>> stream = Stream(lambda epoch: (np.full((4, 2), i, np.float32) for i in range(3)))
    >>> [rows.shape for rows, labels in map(Stream.parts, stream.open(epoch=0))]
    [(4, 2), (4, 2), (4, 2)]
    """

    def __init__(self, source: Any, *, rows: int | None = None) -> None:
        if isinstance(source, Iterator):
            raise ValueError(
                f"data: expected a function of the epoch, or something that can be iterated again; "
                f"a {type(source).__name__} can be read once"
            )
        if not callable(source) and not hasattr(source, "__iter__") and not hasattr(source, "to_iter_dataset"):
            raise ValueError(f"data: expected a function of the epoch or an iterable, got {type(source).__name__}")
        self.source, self.rows = source, None if rows is None else require_integer("rows", rows)

    def open(self, epoch: int) -> Iterator[Any]:
        """The pieces of an epoch."""
        pieces: Any = self.source(epoch) if callable(self.source) else self.source
        return iter(pieces.to_iter_dataset() if hasattr(pieces, "to_iter_dataset") else pieces)

    @staticmethod
    def parts(piece: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows and labels of a piece."""
        x, y = piece, None
        if isinstance(piece, Mapping):
            x_name, y_name = column(piece, X_NAMES), column(piece, Y_NAMES)
            if x_name is None:
                raise ValueError(f"data: expected one of the columns {', '.join(X_NAMES)}, got {sorted(piece)}")
            x, y = piece[x_name], None if y_name is None else piece[y_name]
        elif isinstance(piece, Split):
            x, y = piece.x, piece.y
        elif isinstance(piece, tuple) and len(piece) == 2:
            x, y = piece
        elif isinstance(piece, list) and len(piece) == 2 and np.shape(piece[0]) != np.shape(piece[1]):
            x, y = piece  # as a DataLoader of PyTorch gives them; two rows have one shape
        return np.asarray(x), None if y is None else np.asarray(y)
