"""Source of the rows of a step: memory in a shuffled order, or a stream, chunk by chunk."""

import abc
import collections
import json
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from vaejax.data import Split, Stream
from vaejax.data.inputs import Rows, checked_rows
from vaejax.train import processes
from vaejax.train.state import TrainState
from vaejax.train.step import Scan, Setup, absorb, measure, shuffle
from vaejax.types import Key

__all__ = ["Feed", "Memory", "Position", "Streamed"]

_CHUNK = 2**26  # bytes
_LONGEST = 512  # steps of a chunk
_AHEAD = 2  # chunks read while one is trained on


class Position(NamedTuple):
    """Place in a run: `step` steps into `epoch`, both from 0; of a stream the place of each process in its source."""

    epoch: int
    step: int
    marks: list[Any] | None = None


class Feed(abc.ABC):
    """Rows of a run.

    Attributes:
      head: the rows that are known at the start: all, or the first piece of a stream.
      steps: steps of an epoch; 0 where their number is not known.
      most: the most steps that a scan may have.
    """

    head: Rows
    steps: int
    most: int

    @abc.abstractmethod
    def scans(self, key: Key, at: Position, length: int) -> Generator[tuple[Scan, Position], None, None]:
        """The rest of an epoch in scans of `length` steps, and the position after each."""

    @abc.abstractmethod
    def calibrated(self, state: TrainState, epoch: int, length: int) -> TrainState:
        """The state with the parameters that the objective has in closed form."""


class Memory(Feed):
    """Rows that lie on the device, in a new order each epoch.

    Args:
      setup: of the training.
      rows: all of them, or this process's share.
    """

    def __init__(self, setup: Setup, rows: Rows):
        self.setup, self.head = setup, rows
        self.rows, self._positions = rows, None
        if setup.mesh is not None and jax.process_count() > 1:
            self.rows, self._positions = processes.shares(rows, setup.mesh)
        elif setup.mesh is not None:
            self.rows = processes.replicated(rows, setup.mesh)
        self.count = len(rows.x) if self._positions is None else len(self._positions)
        self.steps = self.most = self.count // setup.batch_size

    def scans(self, key: Key, at: Position, length: int) -> Generator[tuple[Scan, Position], None, None]:
        order = shuffle(key, at.epoch, self._positions, count=self.count)
        for first in range(at.step, self.steps, length):
            after = Position(at.epoch, min(first + length, self.steps))
            yield Scan(self.rows, order, first, self.steps), after

    def calibrated(self, state: TrainState, epoch: int, length: int) -> TrainState:
        order = np.arange(self.count, dtype=np.int32) if self._positions is None else self._positions
        return absorb(self.setup, state, measure(self.setup, state, self.rows, order))


@runtime_checkable
class _Movable(Protocol):
    """A source that can be moved to a place, as iterators of Grain."""

    def get_state(self) -> Any: ...
    def set_state(self, state: Any) -> None: ...


class _Part(NamedTuple):
    """Rows of a piece of the source, the source's state before that piece, and how many of its rows are used up."""

    x: Shaped[np.ndarray, "N ..."]
    y: Shaped[np.ndarray, " N"] | None
    state: Any
    used: int


class _Chunk(NamedTuple):
    """Rows of a scan on the device, their order, its steps, and the source's place after them."""

    rows: Rows
    order: np.ndarray
    steps: int
    mark: dict[str, Any] | None


class Streamed(Feed):
    """Rows of a stream, in its order; chunks are read, checked and sent to the device while others are trained on.

    Args:
      setup: of the training.
      stream: the source.
      labelled: whether the pieces' labels are the context.
    """

    def __init__(self, setup: Setup, stream: Stream, labelled: bool):
        self.setup, self._stream, self._labelled = setup, stream, labelled
        self._size = setup.batch_size // jax.process_count()  # rows that this process gives to a batch
        self.steps = (stream.rows or 0) // self._size
        piece = next(self._read(Position(0, 0)), None)
        if piece is None:
            raise ValueError("data: expected a stream of rows, it gave none")
        self.head = self._checked(piece.x, piece.y, "data, the first piece")
        room = _CHUNK // max(1, setup.batch_size * self.head.x[0].nbytes)
        self.most = int(np.clip(room, 1, _LONGEST))

    def _checked(self, x: np.ndarray, y: np.ndarray | None, name: str) -> Rows:
        return checked_rows(self.setup.model, Split(x), y, name, self.setup.transform)

    def scans(self, key: Key, at: Position, length: int) -> Generator[tuple[Scan, Position], None, None]:
        chunks, reader, step = self._chunks(at, length), ThreadPoolExecutor(1), at.step
        try:
            waiting = collections.deque(reader.submit(next, chunks, None) for _ in range(_AHEAD))
            while True:
                chunk = waiting.popleft().result()
                counts = processes.gathered(0 if chunk is None else chunk.steps)
                if chunk is None or not counts.min():
                    return
                waiting.append(reader.submit(next, chunks, None))
                steps = int(counts.min())
                step += steps
                marks = [json.loads(text) for text in processes.texts(json.dumps(chunk.mark))]
                order = jnp.broadcast_to(chunk.order, (*key.shape, len(chunk.order)))
                yield Scan(chunk.rows, order, 0, steps), Position(at.epoch, step, marks)
                if steps < counts.max():  # an epoch ends with the shortest stream, in all processes alike
                    return
        finally:
            reader.shutdown(wait=False, cancel_futures=True)

    def _chunks(self, at: Position, length: int) -> Iterator[_Chunk]:
        """Chunks of `length` batches, padded at the end of the epoch."""
        parts: collections.deque[_Part] = collections.deque()
        full, step, have = length * self._size, at.step, 0

        def chunk(steps: int) -> _Chunk:
            x, y, mark = _take(parts, steps * self._size)
            if steps < length:
                again = np.arange(full) % len(x)
                x, y = x[again], None if y is None else y[again]
            rows = self._checked(x, y, f"data, epoch {at.epoch + 1} from row {step * self._size}")
            return _Chunk(*self._placed(rows), steps, mark)

        for part in self._read(at):
            parts.append(part)
            have += len(part.x)
            while have >= full:
                yield chunk(length)
                have, step = have - full, step + length
        if have >= self._size:
            yield chunk(have // self._size)
        elif step == 0:
            raise ValueError(
                f"data: expected at least a batch of {self._size} rows in an epoch, the stream gave {have}"
            )

    def _placed(self, rows: Rows) -> tuple[Rows, np.ndarray]:
        """A chunk on the devices, and the order of its rows."""
        mesh = self.setup.mesh
        if mesh is not None and jax.process_count() > 1:
            return processes.stacked(rows, mesh, self._size)
        rows = rows if mesh is None else processes.replicated(rows, mesh)
        return rows, np.arange(len(rows.x), dtype=np.int32)

    def _read(self, at: Position) -> Iterator[_Part]:
        """Parts of the source from a position on."""
        source, skip = self._stream.open(at.epoch), at.step * self._size
        mark = at.marks[jax.process_index()] if at.marks is not None else None
        if mark is not None and isinstance(source, _Movable):
            source.set_state(mark["state"])
            skip = mark["rows"]
        shape, kind = self.setup.model.event_shape, None
        while True:
            state = _as_json(source.get_state()) if isinstance(source, _Movable) else None
            try:
                piece = next(source)
            except StopIteration:
                return
            x, y = Stream.parts(piece)
            if x.shape == shape and (y is None or y.ndim <= 1):  # one row
                x, y = x[None], None if y is None else y[None]
            if self._labelled and y is None:
                raise ValueError('context="labels": the pieces of the stream have no labels; give pairs (rows, labels)')
            y = y if self._labelled else None
            if y is not None and y.shape[:1] != x.shape[:1]:
                raise ValueError(f"data: expected a label for each of {len(x)} rows of a piece, got shape {y.shape}")
            kind = kind or (x.dtype, x.shape[1:])
            if not x.ndim or (x.dtype, x.shape[1:]) != kind:
                expected = f"pieces of {kind[0]} rows of shape {kind[1]}, as the first one"
                raise ValueError(f"data: expected {expected}, got {x.dtype} of shape {x.shape}")
            if skip < len(x):
                yield _Part(x[skip:], None if y is None else y[skip:], state, skip)
            skip = max(0, skip - len(x))

    def calibrated(self, state: TrainState, epoch: int, length: int) -> TrainState:
        """The state with the parameters in closed form, from the whole batches of another pass."""
        total, count = None, 0
        for (rows, orders, _, steps), _ in self.scans(state.key, Position(epoch, 0), length):
            order = orders.reshape(-1, orders.shape[-1])[0, : steps * self.setup.batch_size]
            part = jax.tree.map(lambda leaf, steps=steps: leaf * steps, measure(self.setup, state, rows, order, count))
            total = part if total is None else jax.tree.map(jnp.add, total, part)
            count += steps
        return absorb(self.setup, state, jax.tree.map(lambda leaf: leaf / count, total))


def _as_json(state: Any) -> Any:
    """A source's state, where a JSON file can hold it; a source without one is read again up to its place."""
    try:
        return state if json.loads(json.dumps(state)) == state else None
    except (TypeError, ValueError):
        return None


def _take(parts: collections.deque[_Part], count: int) -> tuple[np.ndarray, np.ndarray | None, dict[str, Any] | None]:
    """Remove `count` rows from the parts; return them, and where the source stands after them."""
    xs, ys, mark = [], [], None
    while count:
        x, y, state, used = parts.popleft()
        taken = min(count, len(x))
        xs.append(x[:taken])
        ys.append(None if y is None else y[:taken])
        count -= taken
        mark = None if state is None else {"state": state, "rows": used + taken}
        if taken < len(x):
            parts.appendleft(_Part(x[taken:], None if y is None else y[taken:], state, used + taken))
    return np.concatenate(xs), None if ys[0] is None else np.concatenate(ys), mark
