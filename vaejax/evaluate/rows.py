"""Rows at the door, and the tools of this room: one map over many rows, means with errors, nearest neighbours."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from vaejax.checks import finite_rows, prng_key
from vaejax.data import Dataset, Split
from vaejax.data.inputs import PIXELS, Rows, checked_rows, is_grey
from vaejax.distributions import After, Distribution, Guide, sample_latents
from vaejax.models import Elbo, Inference, LatentModel, elbo, encode, infer
from vaejax.progress import Bar
from vaejax.types import Array, ArrayLike, Key, Params, PyTree

__all__ = [
    "Rows",
    "RowsLike",
    "Score",
    "bounds",
    "centres",
    "checked",
    "entropy",
    "finite_points",
    "flat",
    "log_weight",
    "mean_and_error",
    "mean_score",
    "nearest",
    "offsets",
    "over_rows",
    "posterior_form",
    "remarks",
    "row_keys",
]

RowsLike: TypeAlias = ArrayLike | Split | Dataset | Rows
"""Rows of a user (of a `Dataset` the test part), or rows that are checked already."""

_PIECE = 2**21  # distances held at once
_PASSES = 8  # so many nearest ones are found by as many minima, more of them by a partition


class Score(NamedTuple):
    """A number with its error.

    Attributes:
      value: a mean over rows, or over repetitions.
      standard_error: of the value; nan where it has none.
      unit: of both.
      protocol: how it was computed.
    """

    value: float
    standard_error: float
    unit: str
    protocol: str


def mean_and_error(values: ArrayLike) -> tuple[float, float]:
    """Mean of independent values and its standard error, nan where there is one value alone."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), float(error)


def mean_score(values: ArrayLike, unit: str, protocol: str) -> Score:
    """The mean of values, with the standard error that their spread implies."""
    return Score(*mean_and_error(values), unit, protocol)


def checked(model: LatentModel, x: RowsLike, context: ArrayLike | None = None, name: str = "x") -> Rows:
    """The door: rows that fit the model, on the device; `Rows` have passed it and are not looked at again."""
    if isinstance(x, Rows):
        return x
    if isinstance(x, Dataset):
        if x.test is None:
            raise ValueError(
                f"{name}: expected rows to score, got a Dataset without a test part: pass one of its parts"
            )
        x = x.test
    return checked_rows(model, x, context, name)


def remarks(model: LatentModel, x: RowsLike, rows: Rows) -> str:
    """What a protocol says of the rows: the part that they are of, and whether their score is a likelihood."""
    said = f", {len(rows.x)} rows of the test part" if isinstance(x, Dataset) else ""
    if rows.x.dtype == jnp.uint8 and rows.x.ndim == 2:
        said += f"; {PIXELS}"
    return said + ("; of grey values, which is no likelihood" if is_grey(model, rows, None) else "")


def finite_points(name: str, x: ArrayLike, dim: int | None = None, least: int = 1) -> Float[np.ndarray, "N D"]:
    """Finite points in float64, rows of other shapes flattened."""
    x = finite_rows(name, x, least=least)
    x = x.reshape(len(x), -1).astype(np.float64)
    if dim is not None and x.shape[1] != dim:
        raise ValueError(f"{name}: expected rows of {dim} values, got {x.shape[1]}")
    return x


def posterior_form(model: LatentModel, params: Params, rows: Rows) -> Distribution | Guide | After:
    """The posterior of a row, its arrays replaced by their shapes."""
    row = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), rows)
    return jax.eval_shape(lambda row: infer(model, params, *row).posterior, row)


@functools.partial(jax.jit, static_argnames=("count",))
def row_keys(key: Key, count: int) -> Key:
    """A key for each row that depends on the key and on the row's number alone."""
    key = prng_key("key", key)
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(count))


@functools.partial(jax.jit, static_argnames=("f", "batch", "options"))
def _mapped(f: Callable, shared: tuple, rows: tuple, batch: int, options: tuple) -> PyTree:
    call = jax.vmap(lambda row: f(*shared, *row, **dict(options)))
    count = len(jax.tree.leaves(rows)[0])
    pieces = -(-count // batch)
    if pieces == 1:
        return call(rows)
    size = -(-count // pieces)
    if pieces * size != count:  # a rest would be compiled a second time
        index = jnp.arange(pieces * size) % count
        rows = jax.tree.map(lambda leaf: leaf[index], rows)
    found = jax.lax.map(call, jax.tree.map(lambda leaf: leaf.reshape(pieces, size, *leaf.shape[1:]), rows))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], found)


def over_rows(
    f: Callable[..., PyTree],
    shared: tuple,
    rows: tuple,
    *,
    batch: int = 256,
    group: int | None = None,
    title: str = "",
    progress: bool = False,
    **options: Any,
) -> PyTree:
    """`f(*shared, *row, **options)` of every row, compiled once, in constant memory.

    Args:
      f: a function of one row at the top level of a module, so that it is compiled once.
      shared: arguments that all rows share.
      rows: trees of arrays with a leading axis of rows, or `None`.
      batch: rows at once.
      group: rows of one call, after which the bar moves; default: all rows. The last group is filled up with the
        first rows, so that one program serves all.
      title: of the bar.
      progress: show the bar.
      **options: static arguments of `f`.

    Returns:
      The results as NumPy arrays with a leading axis of rows.
    """
    named = tuple(sorted(options.items()))
    count = len(jax.tree.leaves(rows)[0])
    size, parts = min(group or count, count), []
    with Bar(progress and count > size, count, title) as bar:
        for first in range(0, count, size):
            index = np.arange(first, first + size) % count
            part = rows if size == count else jax.tree.map(lambda leaf, index=index: leaf[index], rows)
            parts.append(jax.tree.map(np.asarray, _mapped(f, shared, part, batch, named)))
            bar.advance(min(size, count - first), "rows")
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)


def bounds(model: LatentModel, params: Params, key: Key, rows: Rows) -> Elbo:
    """The evidence lower bound of each row with its parts, from one draw each."""
    return over_rows(elbo, (model, params), (jax.random.split(key, len(rows.x)), *rows))


def centres(model: LatentModel, params: Params, rows: Rows) -> PyTree:
    """The posterior mean of each row, in the structure of the latents."""
    return over_rows(encode, (model, params), rows, batch=1024)


def flat(latents: PyTree) -> Float[np.ndarray, "N M"]:
    """Latents of many rows, all layers side by side."""
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(latents)], 1)


def log_weight(model: LatentModel, params: Params, key: Key, known: Inference) -> Array:
    """Logarithm of one importance weight of a datum, log p(x, z) - log q(z), for z drawn from its q."""
    drawn = sample_latents(key, known.posterior, known.prior)
    return model.likelihood(params, drawn.h, known.context).log_prob(known.x) - jnp.sum(drawn.kl)


def entropy(p: np.ndarray) -> np.ndarray:
    """Entropy along the last axis, nats."""
    return -np.sum(p * np.log(np.where(p > 0.0, p, 1.0)), -1)


def offsets(
    x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "M D"], dtype: Any = np.float64
) -> Iterator[tuple[slice, np.ndarray]]:
    r"""$|x - y|^2 - |x|^2$ for the rows of x and y, both measured from the mean of y, a piece of x at a time."""
    centre = y.mean(0)
    x, y = (-2.0 * (x - centre)).astype(dtype), (y - centre).astype(dtype)
    norms, size = (y**2).sum(1), max(1, _PIECE // len(y))
    for start in range(0, len(x), size):
        piece = slice(start, min(start + size, len(x)))
        products = x[piece] @ y.T
        products += norms[None]
        yield piece, products


def nearest(
    x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "M D"], k: int = 1, itself: bool = True
) -> tuple[Int[np.ndarray, "N K"], Float[np.ndarray, "N K"]]:
    """The k nearest rows of y of every row of x: indices and distances, nearest first, by brute force.

    They are searched in float32 and measured in float64.

    Args:
      x: points.
      y: points.
      k: number of neighbours.
      itself: whether row i of y counts for row i of x; `False` where the two are one set.

    >>> index, distance = nearest(np.array([[0.0], [3.0]]), np.array([[1.0], [5.0]]))
    >>> index.ravel().tolist(), distance.ravel().tolist()
    ([0, 0], [1.0, 2.0])
    """
    others = len(y) if itself else len(y) - 1
    if not 1 <= k <= others:
        raise ValueError(f"k: expected 1 to {others} neighbours, got {k}")
    index = np.empty((len(x), k), np.int64)
    for piece, offset in offsets(x, y, np.float32):
        rows = np.arange(piece.stop - piece.start)
        if not itself:
            offset[rows, rows + piece.start] = np.inf
        if k > _PASSES:
            index[piece] = np.argpartition(offset, k - 1, 1)[:, :k]
            continue
        for j in range(k):
            index[piece, j] = best = offset.argmin(1)
            offset[rows, best] = np.inf
    # |x|^2 + |y|^2 - 2 x y cancels where a row is a copy: the ones found are measured by their difference.
    exact = np.empty(index.shape)
    for j in range(k):
        exact[:, j] = np.linalg.norm(x - y[index[:, j]].astype(np.float64), axis=1)
    order = np.argsort(exact, 1, kind="stable")
    return np.take_along_axis(index, order, 1), np.take_along_axis(exact, order, 1)
