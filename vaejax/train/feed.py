"""Where the steps of an epoch take their rows from: memory in a shuffled order, or a stream, chunk by chunk."""

import collections
import json
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vaejax.data import Split, Stream
from vaejax.data.inputs import Rows, checked_rows
from vaejax.train import processes
from vaejax.train.state import TrainState
from vaejax.train.step import Setup, absorb, measure, shuffle

__all__ = ["Memory", "Piece", "Position", "Streamed"]

_CHUNK = 2**26  # bytes
_LONGEST = 512  # steps of a chunk
_AHEAD = 2  # chunks read while one is trained on


class Position(NamedTuple):
    """Where a run stands: `step` steps into `epoch`, both from 0; of a stream each process's place in `mark`."""

    epoch: int
    step: int
    mark: Any = None


class Piece(NamedTuple):
    """The steps of one scan: `first` to at most `end`, in the places of `rows` that `order` says."""

    rows: Rows
    order: jax.Array
    first: int
    end: int
    after: Position


class Memory:
    """Rows that lie on the device, in a new order each epoch.

    Args:
      setup: of the training.
      rows: all of them, or this process's share.
    """

    def __init__(self, setup: Setup, rows: Rows):
        self.setup, self.head = setup, rows
        self.rows, self._positions = _place_rows(rows, setup.mesh)
        self.count = len(rows.x) if self._positions is None else len(self._positions)
        self.steps = self.count // setup.batch_size

    def example(self, key: jax.Array) -> tuple[Rows, Any, int]:
        """Rows and order as the compiled steps take them, and the steps of an epoch."""
        return self.rows, jax.ShapeDtypeStruct((*key.shape, self.count), jnp.int32), self.steps

    def pieces(self, key: jax.Array, at: Position, length: int) -> Generator[Piece, None, None]:
        """The rest of an epoch in scans of `length` steps."""
        order = shuffle(self.setup, key, at.epoch, self._positions, count=self.count)
        for first in range(at.step, self.steps, length):
            after = Position(at.epoch, min(first + length, self.steps))
            yield Piece(self.rows, order, first, self.steps, after)

    def calibrated(self, state: TrainState, epoch: int, length: int) -> TrainState:
        """The state with what the objective has in closed form."""
        order = np.arange(self.count, dtype=np.int32) if self._positions is None else self._positions
        return absorb(self.setup, state, measure(self.setup, state, self.rows, order))


class Streamed:
    """Rows of a stream, in its order; chunks are read, checked and sent to the device while others are trained on.

    Args:
      setup: of the training.
      stream: what to read.
      labelled: whether the pieces' labels are the context.
    """

    def __init__(self, setup: Setup, stream: Stream, labelled: bool):
        self.setup, self._stream, self._labelled = setup, stream, labelled
        self._size = setup.batch_size // jax.process_count()  # rows that this process gives to a batch
        self.steps = 0
        self.head = self._prepared(*self._one_piece(), "data, the first piece")

    def _place(self, rows: Rows) -> tuple[Rows, Any]:
        return _place_chunk(rows, self.setup.mesh, self._size)

    def _one_piece(self) -> tuple[np.ndarray, Any]:
        x, y, *_ = next(self._read(Position(0, 0)), (None, None))
        if x is None:
            raise ValueError("data: expected a stream of rows, it gave none")
        return x, y

    def _prepared(self, x: np.ndarray, y: Any, name: str) -> Rows:
        return checked_rows(self.setup.model, Split(x), y if self._labelled else None, name, self.setup.transform)

    def example(self, key: jax.Array) -> tuple[Rows, Any, int]:
        """Rows and order of one step, and the most steps that a chunk may hold."""
        size = self.setup.batch_size
        like = lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape[1:]), leaf.dtype)  # noqa: E731
        room = _CHUNK // max(1, size * self.head.x[0].nbytes)
        order = jax.ShapeDtypeStruct((*key.shape, size), jnp.int32)
        return jax.tree.map(like, self.head), order, int(np.clip(room, 1, _LONGEST))

    def pieces(self, key: jax.Array, at: Position, length: int) -> Generator[Piece, None, None]:
        """The rest of an epoch in chunks of `length` steps."""
        chunks, reader, step = self._chunks(at, length), ThreadPoolExecutor(1), at.step
        try:
            waiting = collections.deque(reader.submit(next, chunks, None) for _ in range(_AHEAD))
            while True:
                chunk = waiting.popleft().result()
                steps, most = processes.extremes(0 if chunk is None else chunk[2])
                if chunk is None or not steps:
                    return
                waiting.append(reader.submit(next, chunks, None))
                rows, order, _, mark = chunk
                step += steps
                marks = [json.loads(text) for text in processes.gathered(json.dumps(mark))]
                place = Position(at.epoch, step, marks)
                yield Piece(rows, jnp.broadcast_to(order, (*key.shape, len(order))), 0, steps, place)
                if steps < most:  # an epoch ends with the shortest stream, in all processes alike
                    return
        finally:
            reader.shutdown(wait=False, cancel_futures=True)

    def _chunks(self, at: Position, length: int) -> Iterator[tuple[Rows, jax.Array, int, Any]]:
        """Chunks of `length` batches, padded at the end of the epoch, and the mark after each."""
        held: collections.deque = collections.deque()
        wanted, step, have = length * self._size, at.step, 0

        def chunk(steps: int) -> tuple[Rows, jax.Array, int, Any]:
            (x, y), mark = _take(held, steps * self._size)
            if steps < length:
                again = np.arange(wanted) % len(x)
                x, y = x[again], None if y is None else y[again]
            rows = self._prepared(x, y, f"data, epoch {at.epoch + 1} from row {step * self._size}")
            return *self._place(rows), steps, mark

        for piece in self._read(at):
            held.append(piece)
            have += len(piece[0])
            while have >= wanted:
                yield chunk(length)
                have, step = have - wanted, step + length
        if have >= self._size:
            yield chunk(have // self._size)
        elif step == 0:
            raise ValueError(
                f"data: expected at least a batch of {self._size} rows in an epoch, the stream gave {have}"
            )

    def _read(self, at: Position) -> Iterator[tuple[np.ndarray, np.ndarray | None, Any, int]]:
        """Pieces from a position on: rows, labels, the source's state before the piece, rows of it that are used."""
        source, skip = self._stream.open(at.epoch), at.step * self._size
        mark = at.mark[jax.process_index()] if at.mark is not None else None
        if mark is not None:
            source.set_state(mark["state"])  # type: ignore[attr-defined]
            skip = mark["rows"]
        shape, kind = self.setup.model.event_shape, None
        while True:
            state = _as_json(source.get_state()) if hasattr(source, "set_state") else None  # type: ignore[attr-defined]
            try:
                piece = next(source)
            except StopIteration:
                return
            x, y = Stream.parts(piece)
            if x.shape == shape and (y is None or y.ndim <= 1):  # one row
                x, y = x[None], None if y is None else y[None]
            y = self._labels_of(x, y)
            kind = kind or (x.dtype, x.shape[1:])
            if not x.ndim or (x.dtype, x.shape[1:]) != kind:
                wanted = f"pieces of {kind[0]} rows of shape {kind[1]}, as the first one"
                raise ValueError(f"data: expected {wanted}, got {x.dtype} of shape {x.shape}")
            if skip < len(x):
                yield x[skip:], None if y is None else y[skip:], state, skip
            skip = max(0, skip - len(x))

    def _labels_of(self, x: np.ndarray, y: np.ndarray | None) -> np.ndarray | None:
        if not self._labelled:
            return None
        if y is None:
            raise ValueError('context="labels": the pieces of the stream have no labels; give pairs (rows, labels)')
        if y.shape[:1] != x.shape[:1]:
            raise ValueError(f"data: expected a label for each of {len(x)} rows of a piece, got shape {y.shape}")
        return y

    def calibrated(self, state: TrainState, epoch: int, length: int) -> TrainState:
        """The state with what the objective has in closed form, from the whole batches of another pass."""
        total, count = None, 0
        for piece in self.pieces(state.key, Position(epoch, 0), length):
            order = piece.order.reshape(-1, piece.order.shape[-1])[0, : piece.end * self.setup.batch_size]
            part = measure(self.setup, state, piece.rows, order, count)
            part = jax.tree.map(lambda leaf, weight=piece.end: leaf * weight, part)
            total = part if total is None else jax.tree.map(jnp.add, total, part)
            count += piece.end
        return absorb(self.setup, state, jax.tree.map(lambda leaf: leaf / count, total))


def _as_json(state: Any) -> Any:
    """A source's state, where a JSON file can hold it; a source without one is read again up to its place."""
    try:
        return state if json.loads(json.dumps(state)) == state else None
    except (TypeError, ValueError):
        return None


def _place_rows(rows: Rows, mesh: Mesh | None) -> tuple[Rows, np.ndarray | None]:
    """Rows on the devices, and where each lies: a copy on every device, or shares of several processes."""
    if mesh is None:
        return rows, None
    return processes.shares(rows, mesh) if jax.process_count() > 1 else (processes.replicated(rows, mesh), None)


def _place_chunk(rows: Rows, mesh: Mesh | None, size: int) -> tuple[Rows, Any]:
    """A chunk on the devices, and the order of its rows."""
    if mesh is not None and jax.process_count() > 1:
        return processes.stacked(rows, mesh, size)
    return _place_rows(rows, mesh)[0], np.arange(len(rows.x), dtype=np.int32)


def _take(held: collections.deque, count: int) -> tuple[tuple[np.ndarray, Any], Any]:
    """Remove `count` rows from the pieces; return them, and where the source stands after them."""
    xs, ys, mark = [], [], None
    while count:
        x, y, state, used = held.popleft()
        taken = min(count, len(x))
        xs.append(x[:taken])
        ys.append(None if y is None else y[:taken])
        count -= taken
        mark = None if state is None else {"state": state, "rows": used + taken}
        if taken < len(x):
            held.appendleft((x[taken:], None if y is None else y[taken:], state, used + taken))
    return (np.concatenate(xs), None if ys[0] is None else np.concatenate(ys)), mark
