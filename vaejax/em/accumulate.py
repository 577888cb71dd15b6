"""Sums over chunks of rows, on one device or over a mesh of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from vaejax.em.prepare import Rows

__all__ = ["sum_over_chunks"]


def sum_over_chunks(
    f: Callable[[Any, Rows], Any], params: Any, rows: Rows, mesh: Mesh | None = None, *, precise: bool = False
) -> Any:
    """Add up `f(params, chunk)` over the chunks in one `lax.scan`; over a mesh, each device sums its own.

    `f` works in the precision of the rows; its sums are added in the widest that is enabled, so that
    millions of rows lose nothing.

    Args:
      f: maps the parameters and one chunk (a `Rows` without the leading axis) to a pytree of sums.
      params: passed on.
      rows: the chunks.
      mesh: devices with one axis named `"data"`, over which the chunks are split.
      precise: work on the rows in the widest precision too, where float32 would cancel.

    Returns:
      The pytree of sums.
    """
    wide = jnp.result_type(float)
    work = wide if precise else rows.w.dtype
    params = jax.tree.map(lambda leaf: leaf.astype(work), params)

    def one(params: Any, chunk: Rows) -> Any:
        return f(params, jax.tree.map(lambda leaf: leaf.astype(work), chunk))

    def local(params: Any, rows: Rows) -> Any:
        first = jax.tree.map(lambda leaf: leaf[0], rows)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, wide), jax.eval_shape(one, params, first))
        if mesh is not None:
            zeros = jax.tree.map(lambda leaf: jax.lax.pcast(leaf, ("data",), to="varying"), zeros)
        add = lambda total, chunk: (jax.tree.map(jnp.add, total, one(params, chunk)), None)  # noqa: E731
        return jax.lax.scan(add, zeros, rows)[0]

    if mesh is None:
        return local(params, rows)
    everywhere, split = PartitionSpec(), PartitionSpec("data")
    summed = lambda params, rows: jax.lax.psum(local(params, rows), "data")  # noqa: E731
    return jax.shard_map(summed, mesh=mesh, in_specs=(everywhere, split), out_specs=everywhere)(params, rows)
