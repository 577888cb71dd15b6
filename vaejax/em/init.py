"""Starting points: k-means++ seeds over chunked rows."""

import jax
import jax.numpy as jnp

from vaejax.em.prepare import Rows

__all__ = ["kmeans_plus_plus", "random_rows"]


def random_rows(key: jax.Array, rows: Rows, count: int) -> jax.Array:
    """`count` rows drawn by weight from chunks with x of shape (n, D, C): shape (count, D)."""
    size = rows.w.shape[1]
    index = jax.random.categorical(key, jnp.log(rows.w.reshape(-1)), shape=(count,))
    return rows.x[index // size, :, index % size]


def kmeans_plus_plus(key: jax.Array, rows: Rows, count: int) -> tuple[jax.Array, jax.Array]:
    r"""Seed `count` centres: each row is chosen with probability proportional to $w\,d^2$ to the nearest one.

    Args:
      key: a PRNG key.
      rows: the chunks, x of shape (n, D, C); missing entries are zero, the mean of their column.
      count: number of centres K.

    Returns:
      `(centres, variance)`: shape (K, D), and the mean squared distance of the rows to their nearest
      centre, shape (D,).

    Reference: Arthur and Vassilvitskii, 2007, section 2.2.
    """
    keys = jax.random.split(key, count)
    _, dim, size = rows.x.shape

    def pick(key: jax.Array, mass: jax.Array) -> jax.Array:
        index = jax.random.categorical(key, jnp.log(mass.reshape(-1)))
        return rows.x[index // size, :, index % size]

    def nearer(best: tuple[jax.Array, jax.Array], centre: jax.Array) -> tuple[jax.Array, jax.Array]:
        distance = jnp.sum((rows.x - centre[None, :, None]) ** 2, 1)
        closer = distance < best[0]
        return jnp.where(closer, distance, best[0]), jnp.where(closer[:, None, :], centre[None, :, None], best[1])

    first = pick(keys[0], rows.w)
    start = nearer((jnp.full(rows.w.shape, jnp.inf, rows.x.dtype), jnp.zeros_like(rows.x)), first)

    def add(best, key):
        # Where every row sits on a centre already, the weights alone decide.
        tiny = jnp.finfo(rows.x.dtype).tiny
        centre = pick(key, rows.w * jnp.maximum(best[0], tiny))
        return nearer(best, centre), centre

    (_, nearest), others = jax.lax.scan(add, start, keys[1:])
    spread = jnp.sum(rows.w[:, None, :] * (rows.x - nearest) ** 2, (0, 2)) / jnp.sum(rows.w)
    return jnp.concatenate([first[None], others]), spread
