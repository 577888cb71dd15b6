"""The step of EM as a protocol: the rows that it sums over, its settings, its result."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Bool, Float

from vaejax.models import LatentModel
from vaejax.recipes import pytree
from vaejax.types import Array, Key, Params, PyTree

__all__ = ["RESTARTS", "Chunks", "EMStep", "Either", "Hyper", "Update", "Vector", "any_restart"]

RESTARTS = "restarts"  # the axis over which every step is vectorised, if only once
M = TypeVar("M", bound=LatentModel)
Either: TypeAlias = Array | np.ndarray
Vector: TypeAlias = Float[Either, " D"]


def any_restart(flag: Array) -> Array:
    """Whether `flag` holds in any restart: a branch on it stays a branch under `vmap`."""
    return jax.lax.pmax(flag.astype(jnp.int32), RESTARTS) > 0


@pytree
class Chunks:
    """Rows in the frame of a step, cut into n chunks of C rows; padding carries weight zero.

    Attributes:
      x: shape (n, D, C), as arrays run fastest along the rows, or (n, C, D) for a step with `rows_first`.
      w: weight of each row; all of them add up to the number of rows.
      mask: 1.0 where `x` is observed, of the shape of `x`, which is 0.0 elsewhere; `None` where all of it is.
      raw: `(shift, factor)`, where `x` is still as the user gave it and (x - shift) * factor is in the frame, which
        `sum` sees to: wide tables for a step with `rows_first` are not copied on the host.
      mesh: devices with one axis named `"data"` over which the chunks are split.
    """

    x: Float[Array, "n D C"] | Float[Array, "n C D"]
    w: Float[Array, "n C"]
    mask: Float[Array, "n D C"] | None = None
    raw: tuple[Vector, Vector] | None = None
    mesh: Mesh | None = dataclasses.field(default=None, metadata={"static": True})

    @property
    def count(self) -> Float[Array, ""]:
        """Number of rows."""
        return jnp.sum(self.w)

    def sum(self, f: Callable[[PyTree, "Chunks"], PyTree], params: PyTree, *, precise: bool = False) -> PyTree:
        """Add up `f(params, chunk)` over the chunks in one `lax.scan`; over a mesh, each device sums its own.

        `f` works in the precision of the rows; its sums are added in the widest that is enabled, so that
        millions of rows lose nothing.

        Args:
          f: maps the parameters and one chunk (a `Chunks` without the leading axis) to a pytree of sums.
          params: arrays that `f` reads beside the rows.
          precise: work on the rows in the widest precision too, where float32 would cancel.
        """
        wide = jnp.result_type(float)
        work = wide if precise else self.w.dtype
        params = jax.tree.map(lambda leaf: leaf.astype(work), (params, self.raw))

        def one(params: PyTree, chunk: PyTree) -> PyTree:
            params, raw = params
            x, w, mask = jax.tree.map(lambda leaf: leaf.astype(work), chunk)
            return f(params, Chunks(x if raw is None else (x - raw[0][None]) * raw[1][None], w, mask))

        def local(params: PyTree, rows: PyTree) -> PyTree:
            first = jax.tree.map(lambda leaf: leaf[0], rows)
            zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, wide), jax.eval_shape(one, params, first))
            if self.mesh is not None:
                zeros = jax.tree.map(lambda leaf: jax.lax.pcast(leaf, ("data",), to="varying"), zeros)
            add = lambda total, chunk: (jax.tree.map(jnp.add, total, one(params, chunk)), None)  # noqa: E731
            return jax.lax.scan(add, zeros, rows)[0]

        rows = (self.x, self.w, self.mask)
        if self.mesh is None:
            return local(params, rows)
        everywhere, split = PartitionSpec(), PartitionSpec("data")
        summed = lambda params, rows: jax.lax.psum(local(params, rows), "data")  # noqa: E731
        return jax.shard_map(summed, mesh=self.mesh, in_specs=(everywhere, split), out_specs=everywhere)(params, rows)


class Hyper(NamedTuple):
    """Settings of a step, in the frame of the rows that it sees.

    Attributes:
      floor: least eigenvalue of a covariance, least noise variance.
      floor_given: whether the user gave it.
      restart: number of the restart, from 0.
      prior_count: pseudo-observations behind each covariance or noise variance; 0 for maximum likelihood.
      prior_variance: variance of each column that they show.
      may_reseed: whether an empty component may start again in this step.
      expand: whether linear models take parameter-expanded steps.
    """

    floor: Float[Array, ""]
    floor_given: Array
    restart: Array
    prior_count: Float[Array, ""]
    prior_variance: Float[Array, " D"]
    may_reseed: Array
    expand: Array


class Update(NamedTuple):
    """Result of one EM step.

    Attributes:
      params: the new parameters.
      log_likelihood: mean log-likelihood of a row, nats, at the parameters before the step.
      log_prior: log-prior per row at the parameters before the step.
      reseeds: number of components that started again.
    """

    params: Params
    log_likelihood: Float[Array, ""]
    log_prior: Float[Array, ""] | float = 0.0
    reseeds: Array | int = 0

    @property
    def objective(self) -> Float[Array, ""]:
        """The quantity that EM never lowers: log-likelihood and log-prior."""
        return self.log_likelihood + self.log_prior


class EMStep(abc.ABC, Generic[M]):
    """EM of one model. A model brings it as its attribute `em_step`; it is all that `vaejax.em.fit` needs.

    Subclasses are decorated with `vaejax.recipes.static`. Only `update` must be written; the rest has a default
    that suits a model whose rows come as they are.

    Attributes:
      model: the model.
      frame: the rows that the step sees: centred and divided by each column's standard deviation (`"columns"`) or
        by one number for all of them (`"common"`), which `rescale` undoes, or as they are (`"none"`; uint8 / 255).
      missing: whether the step takes missing values, `Chunks.mask`.
      rows_first: whether chunks are (C, D) instead of (D, C), and read through `Chunks.sum` alone.
      double: whether float64 rows are summed up in float64 even where JAX is set to float32.
      covariances: number of covariances that `Hyper.prior_count` stands behind.
      least_rows: rows that a component must explain; with fewer its covariance can shrink without end.
      width: numbers that `update` holds for each row, for the size of the chunks; by default D times K.
    """

    model: M
    # `Any`, so that a subclass may say it as a constant or as a property.
    frame: Any = "none"
    missing: Any = False
    covariances: Any = 0
    least_rows: Any = 0
    rows_first: ClassVar[bool] = False
    double: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """Numbers that `update` holds for each row."""
        return math.prod(self.model.event_shape) * (self.model.num_components or 1)

    def start(self, key: Key, rows: PyTree, hyper: Hyper) -> Params:
        """A starting point in the frame of the rows; default: the model's `init`."""
        return self.model.init(key)

    @abc.abstractmethod
    def update(self, params: Params, rows: PyTree, hyper: Hyper, key: Key) -> Update:
        """One E step and one M step over all rows, or over their summary; `key` is for components that start again."""

    def settled(self, params: Params, rows: PyTree, hyper: Hyper) -> Hyper:
        """Settings of a restart that starts from these parameters."""
        return hyper

    def shares(self, params: Params) -> Float[Array, " K"]:
        """Share of the rows that each component explains; default: one component."""
        return jnp.ones(1)

    def at_floor(self, params: Params, hyper: Hyper) -> Bool[Array, " K"]:
        """Whether a component stands on the floor, up to a factor of two, in a direction in which the data do not."""
        return jnp.zeros(1, bool)

    def rescale(self, params: Params, shift: Vector, scale: np.ndarray) -> Params:
        """Parameters of shift + scale * x from those of x; both have one entry a column."""
        return params

    def summarize(self, rows: Chunks) -> PyTree:
        """The `rows` of `start` and `update`, computed once a fit; default: the chunks themselves."""
        return rows

    def floor(self, dtype: np.dtype) -> float:
        """Variance floor by default, in the frame of rows of this precision."""
        return 1e-8
