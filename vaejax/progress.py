"""Progress bar: one line on a terminal or in a notebook, nothing elsewhere."""

import time
from typing import Any, Self

__all__ = ["Bar"]


class Bar:
    """A context manager that shows a title, a bar, words and the time left.

    Args:
      visible: show it at all; it is hidden where standard error is neither a terminal nor a notebook.
      total: units of work in all; `None` where it is not known.
      title: shown first.
      done: units that were done before.
      patience: seconds before the bar appears.
    """

    def __init__(self, visible: bool, total: int | None, title: str = "", *, done: int = 0, patience: float = 0.0):
        self._console = _console() if visible else None
        self._total, self._title, self._done = total, title, done
        self._appears = time.monotonic() + patience
        self._bar: Any = None
        self._task: Any = None

    @property
    def visible(self) -> bool:
        """Whether anybody may see it; if not, nothing needs to be fetched for it."""
        return self._console is not None

    def __enter__(self) -> Self:
        self.update(self._done)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, units: int, words: str = "") -> None:
        """Report so many more units of work."""
        self.update(self._done + units, words)

    def update(self, done: int, words: str = "", title: str | None = None) -> None:
        """Report the units of work that are done in all."""
        self._done, self._title = done, self._title if title is None else title
        if self._console is None or time.monotonic() < self._appears:
            return
        if self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn()
            columns += TextColumn("{task.fields[words]}"), TimeRemainingColumn()
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task(self._title, total=self._total, completed=done, words=words)
            self._bar.start()
        self._bar.update(self._task, completed=done, words=words, description=self._title)


def _console() -> Any:
    from rich.console import Console

    console = Console(stderr=True)
    return console if console.is_terminal or console.is_jupyter else None
