"""A run's folder: its identity, its checkpoints, and a lock, so that a killed run goes on as if it had been let be.

`DIR/run.json` says what the run is; `DIR/checkpoints/STEP` hold the state, the history and the steps of
the unfinished epoch, written by Orbax in the background and each complete or absent.
"""

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.recipes import digest
from vaejax.train.checkpoint import brief, manager_of, recipe_or_none, whole_checkpoints
from vaejax.train.feed import Position
from vaejax.train.processes import any_of, gathered, placed, succeed_together
from vaejax.train.state import History
from vaejax.train.step import Setup, StepLog

__all__ = ["Run", "identity", "joined"]


class Run:
    """The folder of a run that is going on; a context manager that holds its lock.

    Args:
      path: the folder, made where it is missing.
      identity: what two runs must share to be the same; JSON.
      resume: go on from a checkpoint where there is one; `False` refuses a folder that has any.
      every: seconds between checkpoints.

    Raises:
      ValueError: where the folder belongs to another run, or to one that is going on.
      OSError: where it cannot be written, now or at a later checkpoint.
    """

    def __init__(self, path: str | Path, identity: dict[str, Any], *, resume: bool, every: float):
        self.path = Path(path).absolute()
        self._every, self._last, self._lock = every, time.monotonic(), None
        succeed_together(lambda: self._claim(identity, resume))
        try:
            self._manager = manager_of(self.path, writes=True)
        except BaseException:
            if self._lock is not None:
                self._lock.close()
            raise

    def _claim(self, identity: dict[str, Any], resume: bool) -> None:
        """Make the folder this run's: what the first of several processes does for all of them."""
        try:
            self._open(identity, resume)
        except OSError as problem:
            raise OSError(f"{self.path}: the folder of the run cannot be written ({problem})") from problem

    def _open(self, identity: dict[str, Any], resume: bool) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / "lock").open("w")
        try:
            import fcntl  # where there is none (Windows) there is no lock

            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass
        except OSError as problem:
            self._lock.close()
            raise ValueError(f"{self.path}: another process is writing this run") from problem
        try:
            self._identify(identity, resume)
        except BaseException:
            self._lock.close()
            raise

    def _identify(self, identity: dict[str, Any], resume: bool) -> None:
        file = self.path / "run.json"
        if not file.exists():
            temporary = self.path / f"run.json.{os.getpid()}"
            try:
                temporary.write_text(json.dumps(identity, indent=1) + "\n")
                temporary.replace(file)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            return
        if not resume:
            raise ValueError(f"{self.path} holds a run already: expected a new folder with resume=False")
        try:
            stored = json.loads(file.read_text("utf-8"))
        except ValueError as problem:
            raise ValueError(f"{file} is damaged ({problem}): use a new folder") from problem
        for name in sorted(identity.keys() | stored.keys()):
            mine, theirs = identity.get(name), stored.get(name)
            if mine != theirs:
                raise ValueError(
                    f"{self.path} holds another run: its {name} is {_short(theirs)}, this one's is {_short(mine)}; "
                    "use a new folder"
                )

    def __enter__(self) -> "Run":
        self.stopped, self._before = False, {}
        if threading.current_thread() is threading.main_thread():  # only there can signals be handled
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._stop)
        return self

    def _stop(self, number: int, frame: Any) -> None:
        if self.stopped:  # asked twice: at once
            raise KeyboardInterrupt(self.farewell)
        self.stopped = True

    @property
    def farewell(self) -> str:
        """What to tell somebody who stopped the run."""
        return f"the run is saved in {self.path}, and the same call goes on with it"

    def __exit__(self, kind: type | None, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        alone = kind is not None and issubclass(kind, jax.errors.JaxRuntimeError) and jax.process_count() > 1
        with self._lock or contextlib.nullcontext(), self._writing():
            try:
                if not alone:  # else it would wait for a process that is gone
                    self._manager.wait_until_finished()
            finally:  # where that fails close() has threads to end all the same
                if not alone:
                    self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Orbax and TensorStore raise many kinds where they cannot write, and those of a checkpoint after it."""
        try:
            yield
        except Exception as problem:
            raise OSError(
                f"{self.path}: the checkpoint could not be written ({brief(problem)}); the one before is whole: "
                "free some space, then the same call goes on"
            ) from problem

    def wanted(self) -> bool:
        """Whether it is time for a checkpoint, or for the last one: in any of the processes."""
        self.stopped, due = any_of(self.stopped, time.monotonic() - self._last >= self._every)
        return self.stopped or due

    def save(self, position: Position, state: Any, history: History, logs: list[StepLog], in_row: np.ndarray) -> None:
        """Write a checkpoint in the background; everything is copied first.

        Args:
          position: where the run stands.
          state: the `TrainState`.
          history: of the epochs that are done.
          logs: of the steps of the unfinished epoch.
          in_row: bad steps in a row when it began.
        """
        import orbax.checkpoint as ocp

        arrays = {"state": _flat(state), "in_row": in_row} | history.columns()
        about: dict[str, Any] = position._asdict()
        if logs:
            log = joined(logs)
            about |= {"info": sorted(log.info), "finite": sorted(log.finite)}
            arrays["log"] = _flat((log.value, log.taken, log.info, log.finite))
        about["sha256"] = digest(arrays)
        items = ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
        with self._writing():
            latest = self._manager.latest_step()
            self._manager.save(0 if latest is None else latest + 1, args=items, force=True)
        self._last = time.monotonic()

    def restore(self, state: Any, history: History) -> tuple[Position, Any, list[StepLog], np.ndarray] | None:
        """The newest checkpoint that is whole, or `None`; damaged ones are told and left behind.

        Args:
          state: a fresh state, whose types and places the restored one takes.
          history: an empty history, to be filled.

        Returns:
          What `save` was given, but for the history.
        """
        for arrays, about in whole_checkpoints(self._manager, self.path):
            history.fill({name: arrays[name] for name in ("history", "batches", "lengths") if name in arrays})
            logs = []
            if "log" in arrays:
                names = [dict.fromkeys(about[kind], 0) for kind in ("info", "finite")]
                value, taken, info, finite = _unflat((0, 0, *names), arrays["log"])
                logs = [StepLog(value, info, taken, finite)]
            position = Position(about["epoch"], about["step"], about["mark"])
            return position, _unflat(state, arrays["state"]), logs, arrays["in_row"]
        return None


def joined(logs: list[StepLog]) -> StepLog:
    """The logs of several scans as one, on the host; the axis of the steps is the last one of `value`."""
    logs = jax.device_get(logs)
    axis = np.ndim(logs[0].value) - 1
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis), *logs)


def identity(setup: Setup, key: jax.Array, rows: Any, held: Any, hparams: Any, state: Any) -> dict[str, Any]:
    """What two runs must share to be the same one; the number of epochs may differ."""
    content = gathered(digest(_flat(rows)))
    text = lambda value: re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # noqa: E731
    return {
        "format": 2,
        "model": text(setup.model),
        "recipe": recipe_or_none(setup.model),
        "objective": text(setup.objective),
        "transform": text(setup.transform),
        "optimizer": text(jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), state.opt_state)),
        "batch_size": setup.batch_size,
        "average": setup.average,
        "members": len(key) if setup.ensemble else None,
        "start": digest(_flat((state, key, hparams))),
        "data": content if len(content) > 1 else content[0],
        "validation": None if held is None else digest(_flat(held)),
    }


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _flat(tree: Any) -> dict[str, np.ndarray]:
    """The leaves by number, copied to the host; PRNG keys as their numbers."""
    leaves = (jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in jax.tree.leaves(tree))
    return {str(i): np.array(leaf) for i, leaf in enumerate(leaves)}


def _unflat(template: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The tree that `_flat` was given, in the shape of `template` and in its places."""
    leaves, structure = jax.tree.flatten(template)
    back = []
    for i, leaf in enumerate(leaves):
        value = arrays[str(i)]
        if _is_key(leaf):
            value = jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(leaf))
        back.append(placed(value, leaf.sharding) if isinstance(leaf, jax.Array) else value)
    return jax.tree.unflatten(structure, back)
