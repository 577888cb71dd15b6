"""Calls of a user's function while a run goes on: each of them once, wherever the run was stopped and started again."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import jax
import numpy as np

from vaejax.files import read_json, write_json
from vaejax.train.processes import gathered, local
from vaejax.train.state import TrainState
from vaejax.types import Params

__all__ = ["Callback", "Calls", "Report"]


@dataclasses.dataclass(frozen=True)
class Report:
    """Where a run stands, as its `callback` sees it.

    Attributes:
      step: steps taken, skipped ones included.
      epoch: the epoch, from 1, that has ended or goes on.
      averages: the objective and its terms by the names of `History`, with the validation's after an epoch: numbers,
        or arrays of them (a member, a layer, a dimension).
    """

    step: int
    epoch: int
    averages: Mapping[str, Any]
    _state: TrainState = dataclasses.field(repr=False)

    @property
    def params(self) -> Params:
        """The parameters, copied to the host; to be read before the callback returns."""
        return jax.tree.map(np.array, local(self._state.current))


Callback: TypeAlias = Callable[[Report], object]


class Calls:
    """The calls of a run, and whether one of them stopped it.

    The file `calls.json` of a run's folder holds the step of the last one: it is written before the call is made, so
    that a run that is killed in between repeats none.
    """

    def __init__(self, callback: Callback | None, every: Literal["epoch", "scan"], folder: Path | None):
        self._callback, self.every = callback, every
        self._file = None if folder is None or callback is None else folder / "calls.json"
        self._last, self._stop = 0, False
        if self._file is not None and self._file.is_file():
            about = read_json(self._file, "what vaejax.fit writes", ("step", "stop"))
            self._last, self._stop = about["step"], about["stop"]

    def ended(self, state: TrainState) -> bool:
        """Whether a call has stopped the run here."""
        return self._stop and int(np.max(state.step)) >= self._last

    def make(self, state: TrainState, epoch: int, averages: Mapping[str, Any]) -> bool:
        """Call, unless it was done before the run was resumed; whether the run is to stop."""
        step = int(np.max(state.step))
        if self._callback is not None and step > self._last:
            self._note(step, False)
            plain = {name: value.item() if np.ndim(value) == 0 else value for name, value in averages.items()}
            if gathered(self._callback(Report(step, epoch, plain, state)) is True).any():
                self._note(step, True)
        return self.ended(state)

    def _note(self, step: int, stop: bool) -> None:
        self._last, self._stop = step, stop
        if self._file is not None and jax.process_index() == 0:
            write_json(self._file, {"step": step, "stop": stop})
