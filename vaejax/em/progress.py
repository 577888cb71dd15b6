"""A progress bar for long fits, fed from inside the compiled scan."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax

__all__ = ["progress_bar", "report", "wanted"]

_PATIENCE = 2.0  # seconds before a bar appears
_bars: list["_Bar"] = []


class _Bar:
    def __init__(self, num_steps: int):
        self.num_steps, self.start, self.bar, self.task = num_steps, time.monotonic(), None, None

    def show(self, step: int, objective: float) -> None:
        if self.bar is None:
            if time.monotonic() - self.start < _PATIENCE:
                return
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = TextColumn("EM"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[nats]}")
            self.bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task("EM", total=self.num_steps, nats="")
        self.bar.update(self.task, completed=step, nats=f"objective {objective:.4f}")  # type: ignore[arg-type]


def wanted(progress: bool) -> bool:
    """Whether a bar can be seen: only where the standard error is a terminal."""
    return progress and sys.stderr.isatty()


def report(step: jax.Array, objective: jax.Array) -> None:
    """Tell the bar from inside a compiled program; the objective is that of the standard frame."""

    def show(step: Any, objective: Any) -> None:
        if _bars:
            _bars[-1].show(int(step) + 1, float(objective))

    jax.debug.callback(show, step, objective)


@contextlib.contextmanager
def progress_bar(num_steps: int) -> Iterator[None]:
    """Show reports while the block runs."""
    _bars.append(_Bar(num_steps))
    try:
        yield
        jax.effects_barrier()
    finally:
        bar = _bars.pop().bar
        if bar is not None:
            bar.stop()
