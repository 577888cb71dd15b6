"""State that training carries from step to step, its log and history, and the result."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, Int, Shaped

from vaejax.files import write_text
from vaejax.types import Array, Key, Params, PyTree

__all__ = ["Fit", "History", "StepLog", "TrainState", "initial_state", "joined"]


class TrainState(NamedTuple):
    """Everything that the next step depends on; a run is resumed from it bit for bit.

    Attributes:
      params: parameters of the model.
      opt_state: of the optimiser.
      average: exponential moving average of the parameters, or `None`.
      best: parameters of the best validation so far, or `None` without validation.
      best_value: the objective's value there.
      stale: epochs since then, or since a warm-up was over.
      step: steps taken, skipped ones included.
      skipped: steps that were skipped for numbers that were not finite.
      key: the PRNG key of the run; step t draws from `fold_in(key, t)`.
    """

    params: Params
    opt_state: PyTree
    average: Params | None
    best: Params | None
    best_value: Float[Array, "*members"]
    stale: Int[Array, "*members"]
    step: Int[Array, "*members"]
    skipped: Int[Array, "*members"]
    key: Key

    @property
    def current(self) -> Params:
        """The parameters to evaluate: the average where there is one."""
        return self.params if self.average is None else self.average


def initial_state(
    params: Params, key: Key, optimizer: optax.GradientTransformation, average: bool, validate: bool
) -> TrainState:
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
        key=key,
    )


class StepLog(NamedTuple):
    """Report of the steps of a scan to the host.

    Attributes:
      value: the objective.
      info: its terms.
      taken: whether there was a step at all (the last run of an epoch may be shorter).
      finite: for the value, each term of `info` and the gradient of each parameter, whether it was finite.
    """

    value: Float[Array, "*members steps"]
    info: dict[str, Float[Array, "..."]]
    taken: Bool[Array, "*members steps"]
    finite: dict[str, Bool[Array, "*members steps"]]

    @property
    def good(self) -> Bool[np.ndarray, "*members steps"]:
        """Whether a step was taken and all of its numbers were finite."""
        return np.logical_and.reduce([*self.finite.values(), self.taken])


def joined(logs: list[StepLog]) -> StepLog:
    """The logs of several scans as one, on the host; the axis of the steps is the last one of `value`."""
    logs = jax.device_get(logs)
    axis = np.ndim(logs[0].value) - 1
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis), *logs)


class History(Mapping[str, np.ndarray]):
    """One row an epoch: `history["elbo"]` has shape (epochs,), or (members, epochs) for an ensemble.

    Names are those of the objective's info and `value` (training averages, of the steps that were not
    skipped), `validation_` before them (held-out data), `step`, `skipped` (so far) and `seconds`.

    Attributes:
      columns: its arrays by name, with the epochs as first axis.
      batches: the objective's value at every step, nan where it was skipped.
      notes: remarks on the numbers.
    """

    def __init__(
        self,
        notes: Sequence[str] = (),
        columns: Mapping[str, Shaped[np.ndarray, "epochs ..."]] | None = None,
        batches: Float[np.ndarray, "*members steps"] | None = None,
    ):
        self.notes, self.columns = tuple(notes), dict(columns or {})
        self.batches = np.zeros(0) if batches is None else batches

    def append(self, row: Mapping[str, np.ndarray], batches: Float[np.ndarray, "*members steps"]) -> None:
        """Add an epoch."""
        self.batches = np.concatenate([self.batches, batches], -1) if self.columns else batches
        for name, value in row.items():
            before = self.columns.get(name, np.zeros((0, *np.shape(value)), np.asarray(value).dtype))
            self.columns[name] = np.concatenate([before, np.asarray(value)[None]])

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "..."]:
        if name not in self.columns:
            raise KeyError(f"{name!r}: the history has {', '.join(self) or 'no epoch yet'}")
        column = self.columns[name]
        return column.swapaxes(0, 1) if self.batches.ndim == 2 and column.ndim > 1 else column

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __repr__(self) -> str:
        epochs = len(next(iter(self.columns.values()), ()))
        notes = "".join(f"; {note}" for note in self.notes)
        return f"History({epochs} epochs: {', '.join(self)}{notes})"

    def to_csv(self, path: str | Path) -> None:
        """Write a table with one line an epoch; entries of vectors and members of ensembles are numbered columns."""
        flat = {}
        for name, column in self.columns.items():
            for index in np.ndindex(column.shape[1:]):
                flat["_".join([name, *map(str, index)])] = column[(slice(None), *index)].tolist()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if flat:
            writer.writerow(["epoch", *flat])
        writer.writerows([i, *row] for i, row in enumerate(zip(*flat.values(), strict=True), 1))
        write_text(Path(path), text.getvalue())


class Fit(NamedTuple):
    """Result of `fit`; of an ensemble every array has a leading axis of members.

    Attributes:
      params: final parameters (their moving average where `average=` is used).
      best: parameters of the best validation; the final ones without validation.
      history: a `History`.
      state: the last `TrainState`.
    """

    params: Params
    best: Params
    history: History
    state: TrainState

    def member(self, index: int) -> tuple[Params, Params]:
        """`(params, best)` of one member of an ensemble."""
        return jax.tree.map(lambda leaf: leaf[index], (self.params, self.best))
