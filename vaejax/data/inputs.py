"""Checking and placing what a user hands over: rows, labels, a held-out part."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.data import Dataset, Split
from vaejax.models import LatentModel

__all__ = ["Rows", "held_out", "is_grey", "prepare"]


class Rows(NamedTuple):
    """Data on the device.

    Attributes:
      x: (N, ...), uint8 or floating point.
      context: `None`, labels (N,) or vectors (N, C).
    """

    x: jax.Array
    context: jax.Array | None


def prepare(model: LatentModel, data: Any, context: Any, name: str = "data", transform: Any = None) -> Rows:
    """Check the rows against the model and put them on the device.

    With a transform it is the transformed rows that the model must take: the first thousand are tried.

    Raises:
      ValueError: for rows that cannot be meant; it names expected and actual, and the first bad row.
    """
    split = _split(data, name)
    x = _values(model, split.x, name, transform)
    if isinstance(context, str):
        if context != "labels":
            raise ValueError(f'context: expected "labels" or an array, got {context!r}')
        if split.y is None:
            raise ValueError(f'context="labels": {name} has no labels; pass a vaejax.data.Split(x, y)')
        context = split.y
    return Rows(jnp.asarray(x), _context(model, context, len(x), name))


def held_out(model: LatentModel, data: Any, context: Any, validation: Any, transform: Any = None) -> Rows | None:
    """The validation rows: those given, else those that a `Dataset` brings."""
    if validation is None:
        validation = data.validation if isinstance(data, Dataset) else None
    if validation is None:
        return None
    if isinstance(validation, tuple) and len(validation) == 2:
        return prepare(model, validation[0], validation[1], "validation", transform)
    if context is not None and not isinstance(context, str):
        raise ValueError("validation: with an array as context expected the pair (x, context)")
    return prepare(model, validation, context, "validation", transform)


def _split(data: Any, name: str) -> Split:
    if isinstance(data, Dataset):
        return data.train
    if isinstance(data, Split):
        return data
    if not hasattr(data, "__array__"):
        raise ValueError(f"{name}: expected an array, a vaejax.data.Split or Dataset, got {type(data).__name__}")
    return Split(np.asarray(data))


def _values(model: LatentModel, x: np.ndarray, name: str, transform: Any) -> np.ndarray:
    if x.ndim < 2 or not x.size:
        raise ValueError(f"{name}: expected rows (N, ...) with at least one number, got shape {x.shape}")
    if x.dtype == bool:
        x = x.astype(np.float32)
    if x.dtype != np.uint8:
        if not np.issubdtype(x.dtype, np.floating):
            raise ValueError(f"{name}: expected floating-point values, uint8 pixels or bool, got {x.dtype}")
        x = x.astype(jax.dtypes.canonicalize_dtype(x.dtype), copy=False)
        _require_rows(name, x, np.isfinite(x), "finite values")
    if transform is None:
        _require_taken(model, x, name)
        return x
    if hasattr(transform, "check"):
        transform.check(x)
    some = jax.jit(transform)(jax.random.key(0), jnp.asarray(x[:1000]))
    _require_taken(model, np.asarray(some), f"{name}, transformed")
    return x


def _require_taken(model: LatentModel, x: np.ndarray, name: str) -> None:
    """Raise `ValueError` unless the model's likelihood is for rows like these."""
    try:
        jax.eval_shape(model.event, jax.ShapeDtypeStruct(x.shape[1:], x.dtype))
    except ValueError:
        raise ValueError(
            f"{name}: expected rows of shape {model.event_shape}, or of as many entries, for this model, "
            f"got {x.shape[1:]}"
        ) from None
    if model.support is not None and x.dtype != np.uint8:
        low, high = model.support
        _require_rows(name, x, (x >= low) & (x <= high), f"values in [{low:g}, {high:g}] for this likelihood")
    if model.levels is not None:
        steps = (x / np.float32(255) if x.dtype == np.uint8 else x) * np.float32(model.levels - 1)
        on = np.abs(steps - np.round(steps)) < 1e-3
        _require_rows(name, x, on, f"values on the grid of {model.levels} levels over [0, 1]")


def is_grey(model: LatentModel, rows: Rows, transform: Any) -> bool:
    """Whether a likelihood of zeros and ones is asked to score values between them."""
    if not model.binary:
        return False
    x = rows.x[:1000] if transform is None else transform(jax.random.key(0), rows.x[:1000])
    return bool(jnp.any((x > 0) & (x < (255 if x.dtype == jnp.uint8 else 1))))


def _require_rows(name: str, x: np.ndarray, good: np.ndarray, wanted: str) -> None:
    bad = np.flatnonzero(~good.reshape(len(x), -1).all(1))
    if len(bad):
        value = x[bad[0]][~good[bad[0]]].ravel()[0]
        raise ValueError(f"{name}: expected {wanted}, got {value} in row {bad[0]}")


def _context(model: LatentModel, context: Any, rows: int, name: str) -> jax.Array | None:
    dim = model.context_dim
    if not dim:
        if context is not None:
            raise ValueError(f"context: {type(model).__name__} has context_dim=0, expected None, got {_told(context)}")
        return None
    wanted = f"{rows} labels below {dim} or an array ({rows}, {dim}) for {name}"
    if context is None:
        raise ValueError(f'context: {type(model).__name__} has context_dim={dim}, expected "labels" or {wanted}')
    context = np.asarray(context)
    if np.issubdtype(context.dtype, np.integer) and context.shape == (rows,):
        bad = np.flatnonzero((context < 0) | (context >= dim))
        if len(bad):
            raise ValueError(f"context: expected {wanted}, got the label {context[bad[0]]} in row {bad[0]}")
        return jnp.asarray(context, jnp.int32)
    if context.dtype.kind not in "fiub" or context.shape != (rows, dim):
        raise ValueError(f"context: expected {wanted}, got {_told(context)}")
    context = context.astype(np.float32)
    _require_rows("context", context, np.isfinite(context), "finite values")
    return jnp.asarray(context)


def _told(value: Any) -> str:
    array = np.asarray(value)
    return f"{value!r}" if array.dtype.kind in "OU" else f"{array.dtype} of shape {array.shape}"
