"""What training carries from step to step, what it returns, and its history."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Fit", "History", "TrainState"]


class TrainState(NamedTuple):
    """Everything that the next step depends on; a run is resumed from it bit for bit.

    Attributes:
      params: parameters of the model.
      opt_state: of the optimiser.
      average: exponential moving average of the parameters, or `None`.
      best: parameters of the best validation so far, or `None` without validation.
      best_value: the objective's value there.
      stale: epochs since then.
      step: steps taken, skipped ones included.
      skipped: steps that were skipped for numbers that were not finite.
      skipped_in_row: of those, the ones since the last good step.
      key: the PRNG key of the run; step t draws from `fold_in(key, t)`.
    """

    params: Any
    opt_state: Any
    average: Any
    best: Any
    best_value: jax.Array
    stale: jax.Array
    step: jax.Array
    skipped: jax.Array
    skipped_in_row: jax.Array
    key: jax.Array

    @property
    def current(self) -> Any:
        """The parameters to evaluate: the average where there is one."""
        return self.params if self.average is None else self.average


class History(Mapping[str, np.ndarray]):
    """One row an epoch: `history["elbo"]` has shape (epochs,), or (members, epochs) for an ensemble.

    Names are those of the objective's info and `value` (training averages, of the steps that were not
    skipped), `validation_` before them (held-out data), `step`, `skipped` (so far) and `seconds`.

    Attributes:
      batches: the objective's value at every step, nan where it was skipped.
      notes: what has to be said beside the numbers.
    """

    def __init__(self, notes: list[str] | None = None):
        self._rows: list[dict[str, np.ndarray]] = []
        self._batches: list[np.ndarray] = []
        self.notes = tuple(notes or ())

    def append(self, row: dict[str, np.ndarray], batches: np.ndarray) -> None:
        """Add an epoch."""
        self._rows.append(row)
        self._batches.append(batches)

    def columns(self) -> dict[str, Any]:
        """All of it as arrays over the epochs, for a checkpoint."""
        if not self._rows:
            return {}
        rows = {name: np.stack([row[name] for row in self._rows]) for name in self._rows[0]}
        lengths = np.array([batches.shape[-1] for batches in self._batches])
        return {"history": rows, "batches": self.batches, "lengths": lengths}

    def fill(self, columns: dict[str, Any]) -> None:
        """Take what `columns` gave."""
        if columns:
            lengths = columns["lengths"]
            self._rows = [{name: column[i] for name, column in columns["history"].items()} for i in range(len(lengths))]
            self._batches = np.split(columns["batches"], np.cumsum(lengths)[:-1], -1)

    @property
    def batches(self) -> np.ndarray:
        """The objective's value at every step."""
        return np.concatenate(self._batches, -1) if self._batches else np.zeros(0)

    def __getitem__(self, name: str) -> np.ndarray:
        if not self._rows or name not in self._rows[0]:
            raise KeyError(f"{name!r}: the history has {', '.join(self) or 'no epoch yet'}")
        values = [row[name] for row in self._rows]
        return np.stack(values, 1) if self._members and np.ndim(values[0]) else np.stack(values)

    @property
    def _members(self) -> bool:
        return bool(self._batches) and self._batches[0].ndim == 2

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows[0] if self._rows else ())

    def __len__(self) -> int:
        return len(self._rows[0]) if self._rows else 0

    def __repr__(self) -> str:
        notes = "".join(f"; {note}" for note in self.notes)
        return f"History({len(self._rows)} epochs: {', '.join(self)}{notes})"

    def to_csv(self, path: str | Path) -> None:
        """Write a table with one line an epoch; entries of vectors and members of ensembles are numbered columns."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.part")
        with temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            for i, row in enumerate(self._rows):
                flat = {"epoch": i + 1}
                for name, value in row.items():
                    value = np.asarray(value)
                    for index in np.ndindex(value.shape):
                        flat["_".join([name, *map(str, index)])] = value[index].item()
                if i == 0:
                    writer.writerow(flat)
                writer.writerow(flat.values())
        temporary.replace(path)


class Fit(NamedTuple):
    """What `fit` returns; of an ensemble every array has a leading axis of members.

    Attributes:
      params: final parameters (their moving average where `average=` asked for it).
      best: parameters of the best validation; the final ones without validation.
      history: a `History`.
      state: the last `TrainState`.
    """

    params: Any
    best: Any
    history: History
    state: TrainState

    def member(self, index: int) -> tuple[Any, Any]:
        """`(params, best)` of one member of an ensemble."""
        pick = lambda tree: jax.tree.map(lambda leaf: leaf[index], tree)  # noqa: E731
        return pick(self.params), pick(self.best)


def initial_state(params: Any, optimizer: Any, key: jax.Array, average: bool, validate: bool) -> TrainState:
    """The state before the first step."""
    zero = lambda: jnp.zeros((), jnp.int32)  # noqa: E731  a buffer of its own for each: they are donated
    copy = lambda: jax.tree.map(jnp.copy, params)  # noqa: E731
    return TrainState(
        params=copy(),  # the steps are given the buffers: the caller keeps his own
        opt_state=optimizer.init(params),
        average=copy() if average else None,
        best=copy() if validate else None,
        best_value=jnp.full((), -jnp.inf, jnp.float32),
        stale=zero(),
        step=zero(),
        skipped=zero(),
        skipped_in_row=zero(),
        key=key,
    )
