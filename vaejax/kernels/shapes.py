"""Shape checks that run while a kernel is traced: they cost nothing when it runs."""

import jax
import jax.numpy as jnp

__all__ = ["require_broadcast", "require_shape"]


def require_shape(name: str, array: jax.Array, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` unless `array` has exactly `shape`."""
    if jnp.shape(array) != tuple(shape):
        raise ValueError(
            f"{name}: expected shape {tuple(shape)}, got {jnp.shape(array)} "
            "(kernels take one datum; batch them with vaejax.kernels.batched or jax.vmap)"
        )


def require_broadcast(name: str, array: jax.Array, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` unless `array` is a scalar or broadcasts to `shape` at equal rank."""
    actual = jnp.shape(array)
    fits = len(actual) == len(shape) and all(a in (1, s) for a, s in zip(actual, shape, strict=True))
    if actual and not fits:
        raise ValueError(
            f"{name}: expected a scalar or a shape that broadcasts to {tuple(shape)}, got {actual} "
            "(kernels take one datum; batch them with vaejax.kernels.batched or jax.vmap)"
        )
