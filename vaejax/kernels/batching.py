"""Kernels of one datum over many, and events of any shape as vectors."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.checks import require_broadcast
from vaejax.types import Array, Event, Term

__all__ = ["batched", "raveled"]


@functools.cache
def batched(f: Callable[..., Any], in_axes: int | None | tuple[int | None, ...] = 0) -> Callable[..., Any]:
    """Vectorise a one-datum function over a leading batch axis and compile it.

    The result is cached: `batched(f)` is the same object each time, so that calling it in a loop or
    in a re-run notebook cell compiles once.

    Args:
      f: a function of one datum.
      in_axes: as in `jax.vmap`: the batch axis of each argument, `None` for a shared one.

    Returns:
      `jax.jit(jax.vmap(f, in_axes))`.

    >>> import jax.numpy as jnp
    >>> from vaejax import kernels
    >>> x = jnp.array([[0.0, 0.0], [1.0, 2.0]])
    >>> log_probs = kernels.batched(kernels.normal_log_prob, (0, None, None))(x, jnp.zeros(2), jnp.ones(2))
    >>> [round(float(value), 4) for value in log_probs]
    [-1.8379, -4.3379]
    """
    return jax.jit(jax.vmap(f, in_axes))


def raveled(x: Event, **params: Term) -> tuple[Float[Array, "#D"], ...]:
    """The event and its parameters, checked to broadcast to it, as vectors; scalars stay scalars.

    Elementwise work on (28, 28, 1) does not vectorise on a CPU: the innermost axis has length one.
    """
    x = jnp.asarray(x)
    for name, array in params.items():
        require_broadcast(name, array, x.shape)
    vector = lambda array: jnp.ravel(jnp.broadcast_to(array, x.shape)) if jnp.ndim(array) else array  # noqa: E731
    return vector(x), *(vector(array) for array in params.values())
