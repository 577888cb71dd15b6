"""Log-likelihoods of many rows under models whose evidence has no closed form."""

import functools
from typing import Any

import jax

from vaejax.inputs import Rows, prepare
from vaejax.models import LatentModel, importance_bound
from vaejax.models.base import require_at_least

__all__ = ["importance_bounds"]

_DRAWS_AT_ONCE = 8192


@functools.partial(jax.jit, static_argnames=("k",))
def _bounds(model: LatentModel, params: Any, key: jax.Array, rows: Rows, *, k: int) -> jax.Array:
    one = lambda row: importance_bound(model, params, row[0], row[1].x, row[1].context, k=k)  # noqa: E731
    keys = jax.random.split(key, len(rows.x))
    return jax.lax.map(one, (keys, rows), batch_size=min(len(rows.x), max(1, _DRAWS_AT_ONCE // k)))


def importance_bounds(
    model: LatentModel, params: Any, key: jax.Array, x: Any, context: Any = None, *, k: int = 100
) -> jax.Array:
    r"""Importance-weighted bound of each row, $\ln\frac1k\sum_i p(x,z_i)/q(z_i|x)$: in expectation below log p(x).

    Args:
      model: any model with a density.
      params: its parameters.
      key: a PRNG key.
      x: rows (N, ...) of floats or uint8 pixels.
      context: labels (N,) or vectors (N, context_dim), where the model has a context.
      k: draws a row.

    Returns:
      Nats, shape (N,).

    Reference: Burda, Grosse and Salakhutdinov, 2016, equation 8.

    >>> import jax, vaejax as vj
    >>> model, x = vj.zoo.vae(4, latent_dim=2, hidden=(8,)), jax.numpy.zeros((3, 4))
    >>> importance_bounds(model, model.init(jax.random.key(0)), jax.random.key(1), x, k=10).shape
    (3,)
    """
    require_at_least("k", k, 1)
    if not model.has_density:
        raise TypeError(f"{type(model).__name__} has no density p(x) to bound")
    return _bounds(model, params, key, prepare(model, x, context, "x"), k=k)
