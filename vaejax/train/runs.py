"""Run directory: identity, lock, checkpoints, exact resume.

`DIR/run.json` says which run it is; `DIR/checkpoints/N` hold the state, the history and the steps of
the unfinished epoch, written by Orbax in the background and each complete or absent.
"""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from filelock import FileLock

from vaejax.files import brief, lock, plain_path, read_json, write_json
from vaejax.train.feed import Position
from vaejax.train.options import Options
from vaejax.train.processes import gathered, placed, succeed_together
from vaejax.train.saved import RUN, add_checkpoint, manager_of, whole_checkpoints
from vaejax.train.state import History, StepLog, TrainState, joined
from vaejax.types import PyTree

__all__ = ["Checkpoint", "Run", "flat"]

_MAY_DIFFER = {"jax", "update", "options"}


class Checkpoint(NamedTuple):
    """Everything that training carries from scan to scan.

    Attributes:
      position: in the data.
      state: of the training.
      history: of the epochs that are done.
      logs: of the steps of the unfinished epoch.
      in_row: bad steps in a row of each member when that epoch began.
      planned: steps of the run, where its schedule depends on them.
    """

    position: Position
    state: TrainState
    history: History
    logs: list[StepLog]
    in_row: np.ndarray
    planned: int | None


class Run:
    """The directory of a run that is going on, as `Run.open` gives it.

    Attributes:
      stopped: whether a signal has come to any of the processes, as of the last `is_due`.
      begun: its identity, as the call said it that began the run.
    """

    def __init__(self, path: Path, every: float):
        self.path, self.stopped, self._signalled = path, False, False
        self.begun = read_json(path / RUN, "what vaejax.fit writes", ("jax", "options"))
        self._every, self._last = every, time.monotonic()
        self._manager = manager_of(path, writes=True)

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str | Path, identity: dict[str, Any], *, resume: bool, every: float) -> Iterator["Run"]:
        """Lock the directory and catch signals while the block runs; the last checkpoint is whole when it ends.

        Args:
          path: the directory; it is created where it is missing.
          identity: of the run, as `identity` gives it.
          resume: go on from a checkpoint where there is one; `False` refuses a directory that has any.
          every: seconds between checkpoints.

        Raises:
          ValueError: where the directory belongs to another run, or to one that is going on.
          OSError: where it cannot be written, now or at a later checkpoint.
        """
        path, lost = plain_path(path), False
        with contextlib.ExitStack() as stack:
            succeed_together(lambda: stack.callback(_claim(path, identity, resume).release))
            run = cls(path, every)
            try:
                with run._catching_signals():
                    yield run
            except jax.errors.JaxRuntimeError:
                lost = jax.process_count() > 1
                raise
            finally:
                if not lost:  # else it would wait for a process that is gone
                    run._finish()

    @contextlib.contextmanager
    def _catching_signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            if self._signalled:  # the second time: at once
                raise KeyboardInterrupt(self.farewell)
            self._signalled = True

        numbers = (signal.SIGINT, signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
            numbers = ()
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def farewell(self) -> str:
        """Words for somebody who stopped the run."""
        return f"the run is saved in {self.path}, and the same call goes on with it"

    def _finish(self) -> None:
        with self._writing():
            try:
                self._manager.wait_until_finished()
            finally:  # where that fails close() has threads to end all the same
                self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Orbax and TensorStore raise many kinds where they cannot write, and those of a checkpoint after it."""
        try:
            yield
        except Exception as problem:
            before = (
                "the one before is whole" if any((self.path / "checkpoints").glob("[0-9]*")) else "there is none yet"
            )
            raise OSError(
                f"{self.path}: the checkpoint could not be written ({brief(problem)}); {before}: "
                "free some space, then the same call goes on"
            ) from problem

    def resumed(self, begun: Checkpoint, options: Options, finished: bool, planned: int | None) -> str | None:
        """Words for a call that does not begin at the beginning; the run is now planned to have so many steps.

        Raises:
          ValueError: where a run is to go on with another JAX than it was begun with: its bits would be others; and
            where its schedule depends on a length that is another now.
        """
        position, other = begun.position, begun.planned != planned and not finished
        if position.epoch == position.step == 0:
            return None
        if other and not options.extend:
            raise ValueError(
                f"{self.path}: the schedule of this run is for {begun.planned} steps, epochs={options.epochs} makes "
                f"{planned}: extend=True goes on from where it stands, by the schedule of the new length"
            )
        if not finished and self.begun["jax"] != jax.__version__:
            raise ValueError(
                f"{self.path}: this run was begun with jax {self.begun['jax']} and would go on with {jax.__version__}, "
                "with other bits: install that version, or use a new folder (vaejax.load reads the best parameters)"
            )
        before = self.begun["options"]
        values = {name: getattr(options, name) for name in before}
        changed = [f"{name} {before[name]}, now {now}" for name, now in values.items() if before[name] != now]
        what = "finished run read: nothing was trained" if finished else f"resuming at epoch {position.epoch + 1}"
        words = f"; begun with {' and '.join(changed)}" if changed else ""
        extended = f"; extended from {begun.planned} to {planned} steps" if other else ""
        return f"{self.path}: {what}{words}{extended}"

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint, or for the last one: in any of the processes."""
        flags = np.array([self._signalled, time.monotonic() - self._last >= self._every])
        self.stopped, overdue = map(bool, np.any(gathered(flags), 0))
        return self.stopped or overdue

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint in the background; everything is copied first."""
        position, state, history, logs, in_row, planned = checkpoint
        about: dict[str, Any] = position._asdict() | {"planned": planned}
        arrays: dict[str, Any] = {"state": {name: flat(value) for name, value in state._asdict().items()}}
        arrays |= {"in_row": in_row, "log": joined(logs)._asdict() if logs else {}}
        arrays |= {"history": history.columns} | ({"batches": history.batches} if len(history) else {})
        with self._writing():
            add_checkpoint(self._manager, arrays, about)
        self._last = time.monotonic()

    def restore(self, fresh: Checkpoint) -> Checkpoint:
        """The newest checkpoint that is whole, in the types and places of a fresh one; that one where there is none."""
        for arrays, about in whole_checkpoints(self._manager, self.path):
            fields = fresh.state._asdict()
            state = TrainState(**{name: _unflat(value, arrays["state"][name]) for name, value in fields.items()})
            history = History(fresh.history.notes, arrays["history"], arrays.get("batches"))
            logs = [StepLog(**arrays["log"])] if arrays["log"] else []
            position = Position(about["epoch"], about["step"], about["marks"])
            return Checkpoint(position, state, history, logs, arrays["in_row"], about["planned"])
        return fresh


def _claim(path: Path, identity: dict[str, Any], resume: bool) -> FileLock:
    """The lock of the directory, which is this run's; the first of several processes takes it for all of them."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            held = lock(path / "lock", f"{path}: another process is writing this run")
            stack.callback(held.release)
            if (path / RUN).is_file():
                _require_same(path, identity, resume)
            else:
                write_json(path / RUN, identity)
            stack.pop_all()
            return held
    except OSError as problem:
        raise OSError(f"{path}: the folder of the run cannot be written ({problem})") from problem


def _require_same(path: Path, identity: dict[str, Any], resume: bool) -> None:
    if not resume:
        raise ValueError(f"{path} holds a run already: expected a new folder with resume=False")
    stored = read_json(path / RUN, "what vaejax.fit writes")
    same = {"update"} if stored.get("jax") == identity["jax"] else set()  # another JAX may trace it otherwise
    for name in sorted((identity.keys() | stored.keys()) - _MAY_DIFFER | same):
        mine, theirs = identity.get(name), stored.get(name)
        if mine != theirs:
            raise ValueError(
                f"{path} holds another run: its {name} is {_short(theirs)}, this one's is {_short(mine)}; "
                "use a new folder"
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def flat(tree: PyTree) -> dict[str, np.ndarray]:
    """The leaves by number, copied to the host; PRNG keys as their numbers."""
    leaves = (jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in jax.tree.leaves(tree))
    return {str(i): np.array(leaf) for i, leaf in enumerate(leaves)}


def _unflat(template: PyTree, arrays: dict[str, np.ndarray]) -> PyTree:
    """The tree that `flat` was given, in the shape of `template` and in its places."""
    leaves, structure = jax.tree.flatten(template)
    back = []
    for i, leaf in enumerate(leaves):
        value = arrays[str(i)]
        if _is_key(leaf):
            value = jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(leaf))
        back.append(placed(value, leaf.sharding) if isinstance(leaf, jax.Array) else value)
    return jax.tree.unflatten(structure, back)
