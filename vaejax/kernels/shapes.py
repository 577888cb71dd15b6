"""Shape checks that run while a kernel is traced: they cost nothing when it runs."""

import jax
import jax.numpy as jnp

__all__ = ["raveled", "require_broadcast", "require_shape"]


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


def raveled(x: jax.Array, **params: jax.Array) -> tuple[jax.Array, ...]:
    """The event and its parameters, checked to broadcast to it, as vectors; scalars stay scalars.

    Elementwise work on (28, 28, 1) does not vectorise on a CPU: the innermost axis has length one.
    """
    x = jnp.asarray(x)
    for name, array in params.items():
        require_broadcast(name, array, x.shape)
    vector = lambda array: jnp.ravel(jnp.broadcast_to(array, x.shape)) if jnp.ndim(array) else array  # noqa: E731
    return vector(x), *(vector(array) for array in params.values())
