"""Several processes that train one model: each holds its share of the rows, all of them the parameters.

With one process (`jax.process_count() == 1`) everything here does nothing. A batch is the one that a
single process with all rows, in the order of the processes, would take: the numbers are the same.
"""

import contextlib
import json
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding
from jaxtyping import Int

from vaejax.data.inputs import Rows
from vaejax.types import ArrayLike, PyTree

__all__ = [
    "all_devices",
    "gathered",
    "local",
    "placed",
    "replicated",
    "require_same",
    "shares",
    "stacked",
    "succeed_together",
    "texts",
    "together",
]


def all_devices() -> Mesh:
    """The devices of all processes on one axis."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))


def gathered(value: ArrayLike) -> np.ndarray:
    """A number or array of each process, the same in shape, along a first axis of processes."""
    value = np.asarray(value)
    if jax.process_count() == 1:
        return value[None]
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(value)).reshape(jax.process_count(), *value.shape)


def texts(text: str) -> list[str]:
    """The texts of all processes, in their order."""
    raw = np.frombuffer(text.encode(), np.uint8)
    lengths = gathered(len(raw))
    rows = gathered(np.pad(raw, (0, max(1, int(lengths.max())) - len(raw))))  # no array is empty
    return [bytes(row[:length]).decode() for row, length in zip(rows, lengths, strict=True)]


def require_same(settings: dict[str, str]) -> None:
    """`ValueError` in every process where these differ between them: they would wait for each other for ever."""
    if jax.process_count() == 1:
        return
    for name, *values in zip(
        settings, *(json.loads(text) for text in texts(json.dumps(list(settings.values())))), strict=True
    ):
        if len(set(values)) > 1:
            raise ValueError(
                f"{name}: expected the same in every process, got {' and '.join(dict.fromkeys(values))}"[:500]
            )


def succeed_together(action: Callable[[], object]) -> None:
    """Run `action` in the first process alone; a `ValueError` or `OSError` there is raised in all of them."""
    problem: Exception | None = None
    if jax.process_index() == 0:
        try:
            action()
        except (ValueError, OSError) as raised:
            problem = raised
    message = texts(str(problem or ""))[0]
    if problem is not None:
        raise problem
    if message:
        raise ValueError(message)


def replicated(tree: PyTree, mesh: Mesh) -> PyTree:
    """The tree on every device; every process must hold the same."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: placed(leaf, everywhere), tree)


def placed(leaf: ArrayLike, sharding: Sharding) -> jax.Array:
    """An array where `sharding` says; every process must hold the same."""
    if jax.process_count() == 1:
        return jax.device_put(leaf, sharding)
    if jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(placed(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
    return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))


@contextlib.contextmanager
def together(saved: bool) -> Iterator[None]:
    """Explain an error of the collectives; `saved` is whether the run has checkpoints.

    Raises:
      RuntimeError: where another process has ended.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as problem:
        if jax.process_count() == 1:
            raise
        outlook = "the run goes on from its last checkpoint" if saved else "without checkpoint= it begins anew"
        first = str(problem).splitlines()[0][:300]
        raise RuntimeError(
            f"another process of this run has ended, and process {jax.process_index()} of {jax.process_count()} cannot "
            f"go on alone: start all of them again by the same command; {outlook} ({first})"
        ) from problem


def _split(rows: Rows, mesh: Mesh) -> Rows:
    over = NamedSharding(mesh, PartitionSpec("data"))
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(over, np.asarray(leaf)), rows)


def shares(rows: Rows, mesh: Mesh) -> tuple[Rows, Int[np.ndarray, " N"]]:
    """The rows of all processes as one array that is split over them, and where in it each row lies.

    Shares of different lengths are filled up with zeros, in which no row lies.
    """
    counts = gathered(len(rows.x))
    devices = len(mesh.local_devices)
    size = -(-int(counts.max()) // devices) * devices
    fill = lambda leaf: np.pad(leaf, ((0, size - len(leaf)), *((0, 0) for _ in leaf.shape[1:])))  # noqa: E731
    padded = jax.tree.map(lambda leaf: fill(np.asarray(leaf)), rows)
    places = [i * size + np.arange(count) for i, count in enumerate(counts)]
    return _split(padded, mesh), np.concatenate(places).astype(np.int32)


def stacked(rows: Rows, mesh: Mesh, size: int) -> tuple[Rows, Int[np.ndarray, " N"]]:
    """Chunks of a stream from all processes, and the order in which each batch takes `size` rows from every one."""
    count = len(rows.x)
    batches = np.arange(count).reshape(-1, size)
    order = np.concatenate([batches + i * count for i in range(jax.process_count())], 1)
    return _split(rows, mesh), order.ravel().astype(np.int32)


def local(tree: PyTree) -> PyTree:
    """Replicated arrays as arrays of this process, to use as any others."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(lambda leaf: leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf, tree)
