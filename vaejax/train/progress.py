"""What a user sees while training runs: one line on a terminal or in a notebook, nothing elsewhere."""

import time
from typing import Any

import numpy as np

__all__ = ["Progress"]


class Progress:
    """A bar with the epoch, the objective and its terms, images a second, and the time left."""

    def __init__(self, wanted: bool, epochs: int, steps: int, images_per_step: int, done: int = 0):
        self._bar = self._task = None
        self._images, self._epochs = images_per_step, epochs
        self._start, self._first = time.perf_counter(), done
        if not wanted:
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        if not (console.is_terminal or console.is_jupyter):
            return
        columns = TextColumn("{task.fields[epoch]}"), BarColumn(20), TextColumn("{task.fields[terms]}")
        self._bar = Bar(*columns, TimeRemainingColumn(), console=console)
        total = epochs * steps or None  # a stream's length is not known
        self._task = self._bar.add_task("", total=total, completed=done, epoch="compiling", terms="")

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def visible(self) -> bool:
        """Whether anybody sees it; if not, nothing needs to be fetched for it."""
        return self._bar is not None

    def show(self, epoch: int, done: int, averages: dict[str, np.ndarray]) -> None:
        """Report the epoch, the steps done so far and averages of the latest ones."""
        if self._bar is None:
            return
        names = [name for name in ("value", "log_likelihood", "kl") if name in averages]
        terms = "  ".join(f"{name.replace('_', ' ')} {np.mean(averages[name]):.2f}" for name in names)
        speed = (done - self._first) * self._images / (time.perf_counter() - self._start)
        told = f"epoch {epoch + 1}/{self._epochs}"
        self._bar.update(self._task, completed=done, epoch=told, terms=f"{terms}  {speed:,.0f} images/s")  # type: ignore[arg-type]
