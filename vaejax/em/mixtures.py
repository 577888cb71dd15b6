"""Shared by the steps of mixtures: seeds, responsibilities, components that start again."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.em.step import Chunks, Hyper, any_restart
from vaejax.types import Array, Key, Params

__all__ = ["LEAST", "kmeans_plus_plus", "reseed", "responsibilities"]

LEAST = 1e-8  # rows; a component that explains less keeps its place and shape


def responsibilities(log_joint: Float[Array, "K C"], w: Float[Array, " C"]) -> tuple[Float[Array, "K C"], Array]:
    """Weighted responsibilities and the weighted sum of log p(x) from log p(x, k) of a chunk's rows."""
    top = jnp.max(log_joint, 0)
    mass = jnp.exp(log_joint - top[None])
    total = jnp.sum(mass, 0)
    return mass * (w / total)[None], jnp.sum(w * (top + jnp.log(total)))


def _draw(key: Key, rows: Chunks, mass: Float[Array, "n C"], shape: tuple[int, ...] = ()) -> Array:
    """Rows drawn with probability proportional to `mass`: shape (*shape, D)."""
    index = jax.random.categorical(key, jnp.log(mass.reshape(-1)), shape=shape)
    size = mass.shape[1]
    return rows.x[index // size, :, index % size]


def kmeans_plus_plus(key: Key, rows: Chunks, count: int) -> tuple[Float[Array, "K D"], Float[Array, " D"]]:
    r"""Seed K centres: each row is chosen with probability proportional to $w\,d^2$ to the nearest one.

    Missing entries count as the mean of their column.

    Returns:
      The centres, and the mean squared distance of the rows to their nearest one.

    Reference: Arthur and Vassilvitskii, 2007, section 2.2.
    """
    keys = jax.random.split(key, count)

    def nearer(best: tuple[Array, Array], centre: Array) -> tuple[Array, Array]:
        distance = jnp.sum((rows.x - centre[None, :, None]) ** 2, 1)
        closer = distance < best[0]
        return jnp.where(closer, distance, best[0]), jnp.where(closer[:, None, :], centre[None, :, None], best[1])

    first = _draw(keys[0], rows, rows.w)
    start = nearer((jnp.full(rows.w.shape, jnp.inf, rows.x.dtype), jnp.zeros_like(rows.x)), first)

    def add(best: tuple[Array, Array], key: Key) -> tuple[tuple[Array, Array], Array]:
        # Where every row sits on a centre already, the weights alone decide.
        tiny = jnp.finfo(rows.x.dtype).tiny
        centre = _draw(key, rows, rows.w * jnp.maximum(best[0], tiny))
        return nearer(best, centre), centre

    (_, nearest), others = jax.lax.scan(add, start, keys[1:])
    spread = jnp.sum(rows.w[:, None, :] * (rows.x - nearest) ** 2, (0, 2)) / jnp.sum(rows.w)
    return jnp.concatenate([first[None], others]), spread


def reseed(
    params: Params, fresh: Callable[[Key], Params], mass: Float[Array, " K"], rows: Chunks, hyper: Hyper, key: Key
) -> tuple[Params, Array]:
    """Components that explain less than a thousandth of a row start again on random rows, with the weight of one.

    Args:
      params: of the mixture, with `logits` and `means`.
      fresh: what else a component starts with: parameters with a leading axis of length K.
      mass: rows that each component explains.
      rows: the chunks.
      hyper: `may_reseed`.
      key: for the rows.

    Returns:
      The parameters and the number of components that started again.
    """
    empty = (mass < 1e-3) & hyper.may_reseed

    def revive(params: Params) -> Params:
        new = fresh(key) | {"means": _draw(key, rows, rows.w, mass.shape), "logits": -jnp.log(rows.count)[None]}
        choose = lambda name: jnp.where(  # noqa: E731
            empty.reshape(-1, *(1,) * (params[name].ndim - 1)), new[name], params[name]
        )
        params = params | {name: choose(name).astype(params[name].dtype) for name in new}
        return params | {"logits": jax.nn.log_softmax(params["logits"])}

    new = jax.lax.cond(any_restart(jnp.any(empty)), revive, lambda params: params, params)
    return new, jnp.sum(empty, dtype=jnp.int32)
