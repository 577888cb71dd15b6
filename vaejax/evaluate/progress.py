"""Long evaluations: groups of rows through one compiled call each, with a bar and the time left."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

__all__ = ["groups"]


def groups(call: Callable[[int, Any], Any], rows: Any, size: int, progress: bool, told: str) -> Any:
    """Apply `call(number of the first row, rows)` to groups of `size` rows and join what comes.

    The last group is filled up with the first rows, whose results are dropped: one program serves all.
    """
    count = len(jax.tree.leaves(rows)[0])
    size = min(size, count)
    parts = []
    with _Bar(progress and count > size, count, told) as bar:
        for first in range(0, count, size):
            index = np.arange(first, first + size) % count
            part = jax.tree.map(lambda leaf, index=index: leaf[index], rows)
            parts.append(jax.tree.map(np.asarray, call(first, part)))
            bar(min(size, count - first))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)


class _Bar:
    def __init__(self, wanted: bool, total: int, told: str):
        self._bar = self._task = None
        if not wanted:
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        if console.is_terminal or console.is_jupyter:
            columns = TextColumn(told), BarColumn(20), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn()
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Callable[[int], None]:
        if self._bar is not None:
            self._bar.start()
        return lambda rows: None if self._bar is None else self._bar.advance(self._task, rows)  # type: ignore[arg-type]

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()
