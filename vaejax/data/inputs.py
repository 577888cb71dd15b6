"""Rows of a user, checked against the model and placed on the device; the held-out ones beside them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from vaejax.checks import finite_rows, numpy_array, require_each_row, require_resolved, require_supported, shown
from vaejax.data import Dataset, Split
from vaejax.models import LatentModel
from vaejax.types import Array, ArrayLike, Transform

__all__ = ["PIXELS", "Rows", "checked_rows", "is_grey", "validation_rows"]

PIXELS = "uint8 values were taken for pixels and divided by 255 (counts: x.astype(float))"


class Rows(NamedTuple):
    """Data on the device.

    Attributes:
      x: uint8 or floating point.
      context: `None`, labels (N,) or vectors (N, C).
    """

    x: Shaped[Array, "N ..."]
    context: Shaped[Array, "N ..."] | None


def checked_rows(
    model: LatentModel,
    data: ArrayLike | Split | Dataset,
    context: ArrayLike | str | None,
    name: str = "data",
    transform: Transform | None = None,
) -> Rows:
    """Check the rows against the model and put them on the device.

    With a transform the model must take the transformed rows: the first thousand are tried.

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
    # On a CPU the device may share a buffer: it shall where nobody may write to it, as to a file mapped to be read.
    return Rows(jnp.array(x) if x.flags.writeable else jax.device_put(x), _context(model, context, len(x), name))


def validation_rows(
    model: LatentModel, data: Any, context: Any, validation: Any, transform: Transform | None = None
) -> Rows | None:
    """The held-out rows: those given, else those that a `Dataset` brings."""
    if validation is None:
        validation = data.validation if isinstance(data, Dataset) else None
    if validation is None:
        return None
    pair = isinstance(validation, tuple) and len(validation) == 2
    if not pair and context is not None and not isinstance(context, str):
        raise ValueError("validation: with an array as context expected the pair (x, context)")
    given: tuple[Any, Any] = validation if pair else (validation, context)
    return checked_rows(model, *given, "validation", transform)


def is_grey(model: LatentModel, rows: Rows, transform: Transform | None) -> bool:
    """Whether a likelihood of zeros and ones is to score values between them."""
    if not model.binary:
        return False
    x = rows.x[:1000] if transform is None else transform(jax.random.key(0), rows.x[:1000])
    return bool(jnp.any((x > 0) & (x < (255 if x.dtype == jnp.uint8 else 1))))


def _split(data: Any, name: str) -> Split:
    if isinstance(data, Dataset):
        return data.train
    if isinstance(data, Split):
        return data
    if not hasattr(data, "__array__"):
        raise ValueError(f"{name}: expected an array, a vaejax.data.Split or Dataset, got {type(data).__name__}")
    return Split(numpy_array(data))


def _values(model: LatentModel, x: np.ndarray, name: str, transform: Transform | None) -> np.ndarray:
    x = finite_rows(name, x, scaled=False)
    require_resolved(name, x)
    if x.dtype == np.float64:
        x = x.astype(jax.dtypes.canonicalize_dtype(x.dtype), copy=False)
    if transform is None:
        _require_taken(model, x, name)
        return x
    if (check := getattr(transform, "check", None)) is not None:
        check(x)
    some = jax.jit(transform)(jax.random.key(0), jnp.asarray(x[:1000]))
    _require_taken(model, np.asarray(some), f"{name}, transformed")
    return x


def _require_taken(model: LatentModel, x: np.ndarray, name: str) -> None:
    """`ValueError` unless the model's likelihood is for rows like these."""
    try:
        jax.eval_shape(model.event, jax.ShapeDtypeStruct(x.shape[1:], x.dtype))
    except ValueError:
        expected = f"rows of shape {model.event_shape}, or of as many entries, for this model"
        raise ValueError(f"{name}: expected {expected}, got {x.shape[1:]}") from None
    if model.support is not None and x.dtype != np.uint8:
        require_supported(name, x, model.support)
    if model.levels is not None:
        steps = (x / np.float32(255) if x.dtype == np.uint8 else x) * np.float32(model.levels - 1)
        on = np.abs(steps - np.round(steps)) < 1e-3
        require_each_row(name, x, on, f"values on the grid of {model.levels} levels over [0, 1]")


def _context(model: LatentModel, context: Any, rows: int, name: str) -> Array | None:
    dim, kind = model.context_dim, type(model).__name__
    if not dim:
        if context is not None:
            raise ValueError(f"context: {kind} has context_dim=0, expected None, got {_summary(context)}")
        return None
    expected = f"{rows} labels below {dim} or an array ({rows}, {dim}) for {name}"
    if context is None:
        raise ValueError(f'context: {kind} has context_dim={dim}, expected "labels" or {expected}')
    context = np.asarray(context)
    if context.dtype.kind in "iu" and context.shape == (rows,):
        require_each_row("context", context, (context >= 0) & (context < dim), expected)
        return jnp.asarray(context, jnp.int32)
    if context.dtype.kind not in "fiub" or context.shape != (rows, dim):
        raise ValueError(f"context: expected {expected}, got {_summary(context)}")
    context = context.astype(np.float32)
    require_each_row("context", context, np.isfinite(context), "finite values")
    return jnp.asarray(context)


def _summary(value: Any) -> str:
    array = np.asarray(value)
    return shown(value) if array.dtype.kind in "OU" else f"{array.dtype} of shape {array.shape}"
