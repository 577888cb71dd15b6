"""Checks of users' arguments: each raises an error that names expected and actual."""

import math
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "finite_rows",
    "integer_labels",
    "numpy_array",
    "prng_key",
    "require_broadcast",
    "require_choice",
    "require_each_row",
    "require_image",
    "require_integer",
    "require_kind",
    "require_number",
    "require_parameters",
    "require_shape",
    "require_resolved",
    "require_sizes",
    "require_supported",
    "shown",
]

T = TypeVar("T")
_FAR = 2e4  # distance from the origin over range: about 1e5 deviations
_ONE_DATUM = "(kernels take one datum; batch them with vaejax.kernels.batched or jax.vmap)"


def shown(value: Any) -> str:
    """How a value shows itself in an error; a long one is cut."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def require_integer(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """The value as an `int`; `ValueError` unless it is an integer from `least` to `most`.

    >>> require_integer("k", 0)
    Traceback (most recent call last):
    ValueError: k: expected an integer of at least 1, got 0
    """
    if not _is_integer(value) or value < least or (most is not None and value > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name}: expected an integer {span}, got {shown(value)}")
    return int(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def require_number(
    name: str, value: Any, *, least: float = -math.inf, above: float = -math.inf, below: float = math.inf
) -> float:
    """The value as a `float`; `ValueError` unless it is finite, at least `least`, above `above` and below `below`."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < least or value <= above or value >= below:
        limits = (("of at least", least), ("above", above), ("below", below))
        words = " and ".join(f"{word} {limit:g}" for word, limit in limits if math.isfinite(limit))
        raise ValueError(f"{name}: expected a finite number{' ' + words if words else ''}, got {shown(value)}")
    return float(value)


def prng_key(name: str, key: Any) -> jax.Array:
    """The key, or vector of keys, in JAX's typed form; keys of `jax.random.PRNGKey` become such.

    >>> prng_key("key", 3)
    Traceback (most recent call last):
    TypeError: key: expected jax.random.key(3), got the number 3
    """
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return key
    if dtype == np.uint32 and jnp.ndim(key):
        return jax.random.wrap_key_data(jnp.asarray(key))
    if _is_integer(key):
        raise TypeError(f"{name}: expected jax.random.key({key}), got the number {key}")
    said = type(key).__name__ if dtype is None else f"{dtype} of shape {jnp.shape(key)}"
    raise TypeError(f"{name}: expected jax.random.key(n), got {said}")


def require_sizes(name: str, sizes: Sequence[int], least: int = 1) -> None:
    """`ValueError` unless these are positive integers, `least` of them or more."""
    if len(sizes) < least or not all(_is_integer(size) and size > 0 for size in sizes):
        raise ValueError(f"{name}: expected at least {least} positive sizes, got {shown(sizes)}")


def require_image(name: str, shape: Sequence[int]) -> None:
    """`ValueError` unless the shape is that of an image."""
    if len(shape) != 3 or not all(_is_integer(size) and size > 0 for size in shape):
        raise ValueError(f"{name}: expected (height, width, channels), got {shown(shape)}")


def require_choice(name: str, value: T, choices: Collection[T]) -> T:
    """The value; `ValueError` unless it is one of the choices."""
    if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in choices):
        raise ValueError(f"{name}: expected one of {', '.join(map(str, choices))}, got {shown(value)}")
    return value


def require_kind(name: str, value: Any, kind: type[T]) -> T:
    """The value; `TypeError` unless it is of this kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a vaejax {kind.__name__}, got {type(value).__name__}")
    return value


def require_parameters(name: str, params: Any, expected: Any) -> None:
    """`ValueError` that names the first parameter whose place or shape is not the expected one."""
    shapes, expected_shapes = (
        {jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}
        for tree in (params, expected)
    )
    for place in sorted(shapes.keys() | expected_shapes.keys()):
        if shapes.get(place) != expected_shapes.get(place):
            wanted, actual = expected_shapes.get(place), shapes.get(place)
            raise ValueError(f"{name}: parameter {place}: expected shape {wanted}, got {actual}")


def require_shape(name: str, array: Any, shape: tuple[int, ...]) -> None:
    """`ValueError` unless the array of a kernel has exactly this shape; free where it is traced."""
    if jnp.shape(array) != tuple(shape):
        raise ValueError(f"{name}: expected shape {tuple(shape)}, got {jnp.shape(array)} {_ONE_DATUM}")


def require_broadcast(name: str, array: Any, shape: tuple[int, ...]) -> None:
    """`ValueError` unless the array of a kernel is a scalar or broadcasts to the shape at equal rank."""
    actual = jnp.shape(array)
    fits = len(actual) == len(shape) and all(a in (1, s) for a, s in zip(actual, shape, strict=True))
    if actual and not fits:
        wanted = f"a scalar or a shape that broadcasts to {tuple(shape)}"
        raise ValueError(f"{name}: expected {wanted}, got {actual} {_ONE_DATUM}")


def require_each_row(name: str, x: np.ndarray, good: np.ndarray, expected: str) -> None:
    """`ValueError` that names the first row with an entry that is not `good`, and the entry."""
    bad = np.flatnonzero(~good.reshape(len(x), -1).all(1))
    if len(bad):
        entry = x[bad[0]][~good[bad[0]]].ravel()[0]
        raise ValueError(f"{name}: expected {expected}, got {entry} in row {bad[0]}")


def require_supported(name: str, x: np.ndarray, support: Any, missing: bool = False) -> None:
    """`ValueError` unless all values lie in the support of a likelihood, a pair `(low, high)`; nan may be missing."""
    if not (isinstance(support, tuple) and len(support) == 2 and all(isinstance(end, int | float) for end in support)):
        raise ValueError(f"support: expected numbers (low, high), with math.inf for an open end, got {support!r}")
    low, high = support
    inside = (x >= low) & (x <= high) | (missing & np.isnan(x))
    require_each_row(name, x, inside, f"values in [{low:g}, {high:g}] for this likelihood")


def numpy_array(x: Any) -> np.ndarray:
    """The values as a NumPy array; masked ones are nan, which no check of rows overlooks."""
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        return np.ma.filled(x.astype(np.result_type(x.dtype, np.float32)), np.nan)
    return np.asarray(x)


def require_resolved(name: str, x: np.ndarray) -> None:
    """`ValueError` for a column so far from the origin that float32 cannot tell its values apart."""
    if x.dtype not in (np.float32, np.float64) or (x.dtype == np.float64 and jnp.result_type(float) == np.float64):
        return
    flat = x.reshape(len(x), -1)
    low, high = flat.min(0), flat.max(0)
    far = np.maximum(np.abs(low), np.abs(high)) > _FAR * (high - low)
    if np.any(far := far & (high > low)):
        column = int(np.argmax(far))
        raise ValueError(
            f"{name}: column {column} lies between {low[column]:.9g} and {high[column]:.9g}, where float32 cannot tell "
            "its values apart: standardise it (vaejax.data.standardize), or set jax_enable_x64"
        )


def finite_rows(
    name: str, x: Any, shape: tuple[int, ...] | None = None, least: int = 1, *, scaled: bool = True
) -> np.ndarray:
    """Rows (N, ...) as finite floats: uint8 pixels scaled to [0, 1], bool as 0 and 1, float64 as it is.

    Args:
      name: of the rows in errors.
      x: floats, uint8 or bool.
      shape: of a row; rows of as many entries are reshaped to it.
      least: number of rows that are needed.
      scaled: uint8 pixels become [0, 1]; `False` leaves them as they are.

    Raises:
      ValueError: for other types and shapes, too few rows, and nan or infinite values, with the first bad row.
    """
    x = numpy_array(x)
    if x.ndim < 2 or len(x) < least or not x.size:
        expected = "rows (N, ...) with at least one number" if least == 1 else f"at least {least} rows (N, ...)"
        raise ValueError(f"{name}: expected {expected}, got shape {x.shape}")
    if x.dtype == np.uint8:
        x = x / np.float32(255) if scaled else x
    elif x.dtype == bool:
        x = x.astype(np.float32)
    elif not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"{name}: expected floating-point values, uint8 pixels or bool, got {x.dtype}")
    elif not np.issubdtype(x.dtype, np.floating):  # bfloat16 and its kin
        x = x.astype(np.float32)
    if shape is not None and math.prod(x.shape[1:]) != math.prod(shape):
        raise ValueError(f"{name}: expected rows of shape {shape}, or of as many entries, got {x.shape[1:]}")
    require_each_row(name, x, np.isfinite(x), "finite values")
    return x if shape is None else x.reshape(len(x), *shape)


def integer_labels(name: str, y: Any, rows: int | None = None, classes: int | None = None) -> np.ndarray:
    """Labels (N,) as int32; `ValueError` unless there are as many as `rows`, from 0 and below `classes`."""
    y = np.asarray(y)
    count = "N" if rows is None else rows
    if y.ndim != 1 or not y.size or y.dtype.kind not in "iu" or (rows is not None and len(y) != rows):
        raise ValueError(f"{name}: expected {count} integer labels, got {y.dtype} of shape {y.shape}")
    expected = "labels from 0" if classes is None else f"labels from 0 to {classes - 1}"
    require_each_row(name, y, (y >= 0) & (y < (2**31 if classes is None else classes)), expected)
    return y.astype(np.int32)
