"""Shared by the steps of mixtures: starts from clusters, responsibilities, components that start again."""

import abc
import math
from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Float

from vaejax.em.step import Chunks, EMStep, Hyper, any_restart
from vaejax.models import GMM, PPCAMixture
from vaejax.recipes import static
from vaejax.types import Array, Key, Params

__all__ = ["LEAST", "MixtureStep", "Start", "kmeans", "kmeans_plus_plus", "reseed", "responsibilities"]

LEAST = 1e-8  # rows; a component that explains less keeps its place and shape
Start: TypeAlias = Literal["kmeans", "seeds", "random"]
M = TypeVar("M", GMM, PPCAMixture)

_NARROW = 1e-3  # deviation of components that assign rows to the nearest mean, in the standard frame
_SHRINK = 0.1  # share of the variance of the data that the covariances of clusters are shrunk towards
_LLOYD_STEPS = 30
_SEEDED_ON = 2**14  # rows that k-means sees, at most
_LEAST_FLOOR = 1e-12  # deviations of a millionth: 16 times what float32 rows resolve


@static
class MixtureStep(EMStep[M]):
    """EM of a mixture, with its starts.

    A start from clusters is k-means on some of the rows and then one M step on all of them, in which each covariance
    is shrunk towards a tenth of the variances of the data with the weight of D + 1 rows. Of full covariances every
    third start has its k-means along one direction of the whitened rows, in which they are furthest from a Gaussian
    towards several humps: there clusters lie side by side that are long, thin and oblique in the columns.

    Attributes:
      begin: `"kmeans"`, clusters; `"seeds"`, k-means++ seeds with the variance about them; `"random"`, the model's
        `init` in the frame of the rows.
    """

    model: M
    begin: Start = "kmeans"

    @abc.abstractmethod
    def at(self, means: Float[Array, "K D"], scale: Float[Array, " D"] | Float[Array, "D D"], key: Key) -> Params:
        """Components of equal weight at these means, with these standard deviations, or this factor of a covariance."""

    @abc.abstractmethod
    def variances(self, params: Params) -> Float[Array, "K D"]:
        """Variance of each column in each component."""

    @property
    def projects(self) -> bool:
        """Whether every third start looks for clusters along one direction."""
        return False

    def start(self, key: Key, rows: Chunks, hyper: Hyper) -> Params:
        if self.begin == "random":
            return self.model.init(key)
        key_rows, key_seeds, key_line, key_rest = jax.random.split(key, 4)
        k, dim, dtype = self.model.num_components, self.model.dim, hyper.floor.dtype
        some = _sample(key_rows, rows, max(_SEEDED_ON, 64 * k))
        if self.begin == "seeds":
            means, spread = kmeans_plus_plus(key_seeds, some, k)
            return self.at(means.astype(dtype), jnp.sqrt(jnp.maximum(spread.astype(dtype), hyper.floor)), key_rest)
        metric, narrow = None, jnp.full((dim,), _NARROW, dtype)
        if self.projects:
            metric = jnp.where(hyper.restart % 3 == 1, _along_humps(key_line, some), jnp.eye(dim, dtype=dtype))
            narrow = _NARROW * jnp.linalg.cholesky(jnp.linalg.inv(metric))
        means = kmeans(some, kmeans_plus_plus(key_seeds, some, k, metric)[0], metric)
        variance = some.sum(lambda _, chunk: chunk.x**2 @ chunk.w, ()) / some.count
        shrunk = hyper._replace(
            prior_count=jnp.asarray(dim + 1.0, dtype), prior_variance=_SHRINK * variance, may_reseed=jnp.asarray(False)
        )
        return self.update(self.at(means.astype(dtype), narrow, key_rest), rows, shrunk, key_rest).params

    def settled(self, params: Params, rows: Chunks, hyper: Hyper) -> Hyper:
        """The floor, where it is the default one, in units of the variance within the components at the start."""
        within = self.shares(params) @ self.variances(params)
        within = jnp.mean(within) if self.frame == "common" else jnp.min(jnp.where(within > _LEAST_FLOOR, within, 1.0))
        relative = jnp.maximum(hyper.floor * jnp.minimum(within, 1.0), _LEAST_FLOOR)
        return hyper._replace(floor=jnp.where(hyper.floor_given, hyper.floor, relative))

    def shares(self, params: Params) -> Float[Array, " K"]:
        return jax.nn.softmax(params["logits"])


def _sample(key: Key, rows: Chunks, count: int) -> Chunks:
    """The rows, or so many of them drawn by their weights, which are then equal."""
    chunks, size = rows.w.shape
    if chunks * size <= count:
        return rows
    shares = rows.w.reshape(-1).astype(float)
    index = jax.random.choice(key, chunks * size, (count,), p=shares / jnp.sum(shares))
    take = lambda leaf: leaf[index // size, :, index % size].T[None]  # noqa: E731
    return Chunks(take(rows.x), jnp.ones((1, count), rows.w.dtype))


def _along_humps(key: Key, rows: Chunks) -> Float[Array, "D D"]:
    r"""A metric that sees the rows along one direction a, $aa^\top$, and a little of the whitened one.

    Of four directions that the fixed point of FastICA, $a \leftarrow E[y(a^\top y)^3] - 3a$ of whitened rows y, has
    reached from random ones, it takes the one of least kurtosis: several humps make it small, outliers large.

    Reference: Hyvärinen and Oja, 1997, equation 20; Peña and Prieto, 2001 (kurtosis and clusters).
    """
    covariance = rows.sum(lambda _, chunk: (chunk.x * chunk.w[None]) @ chunk.x.T, ()) / rows.count
    dim = len(covariance)
    eye = jnp.eye(dim, dtype=covariance.dtype)
    white = jnp.linalg.inv(covariance + 1e-6 * jnp.trace(covariance) / dim * eye)
    root = jnp.linalg.cholesky(white)  # y = root.T @ x

    def moments(directions: Float[Array, "F D"], chunk: Chunks) -> tuple[Array, Array]:
        along = directions @ chunk.x
        return (chunk.w[None] * along**3) @ chunk.x.T, along**4 @ chunk.w

    def step(a: Float[Array, "F D"], _: None) -> tuple[Array, tuple[Array, Array]]:
        third, fourth = rows.sum(moments, a @ root.T)
        turned = third @ root / rows.count - 3.0 * a
        return _unit(turned), (a, fourth)

    start = _unit(jax.random.normal(key, (4, dim), covariance.dtype))
    _, (path, kurtosis) = jax.lax.scan(step, start, None, length=8)
    best = root @ path[-1, jnp.argmin(kurtosis[-1])]
    return jnp.outer(best, best) + 1e-4 * white


def _unit(a: Float[Array, "F D"]) -> Float[Array, "F D"]:
    return a / jnp.linalg.norm(a, axis=1, keepdims=True)


def kmeans(
    rows: Chunks, centres: Float[Array, "K D"], metric: Float[Array, "D D"] | None = None
) -> Float[Array, "K D"]:
    r"""Centres after thirty of Lloyd's steps; one without rows stays where it is.

    Args:
      rows: the chunks.
      centres: to start from.
      metric: of distances, $(x-c)^\top M(x-c)$; default: the identity.

    Reference: Lloyd, 1982.
    """

    def clusters(known: tuple[Array, Array], chunk: Chunks) -> tuple[Array, Array]:
        pulled, offset = known
        nearest = jnp.argmax(pulled @ chunk.x - offset[:, None], 0)
        r = jnp.where(nearest[None] == jnp.arange(len(offset))[:, None], chunk.w[None], 0.0)
        return jnp.sum(r, 1), r @ chunk.x.T

    def step(centres: Array, _: None) -> tuple[Array, None]:
        pulled = centres if metric is None else centres @ metric
        mass, first = rows.sum(clusters, (pulled, 0.5 * jnp.sum(pulled * centres, 1)))
        return jnp.where(mass[:, None] > 0, first / jnp.maximum(mass, LEAST)[:, None], centres), None

    return jax.lax.scan(step, centres.astype(float), None, length=_LLOYD_STEPS)[0]


def kmeans_plus_plus(
    key: Key, rows: Chunks, count: int, metric: Float[Array, "D D"] | None = None
) -> tuple[Float[Array, "K D"], Float[Array, " D"]]:
    r"""Seed K centres: each is the best of a few rows, drawn by their $w\,d^2$ to the nearest centre.

    Missing entries count as the mean of their column.

    Args:
      rows: the chunks.
      count: K.
      metric: of distances, $(x-c)^\top M(x-c)$; default: the identity.

    Returns:
      The centres, and the mean squared distance of the rows to their nearest one, column by column.

    Reference: Arthur and Vassilvitskii, 2007, section 2.2; of $2 + \ln K$ candidates the one that leaves the least.
    """
    dtype, tries = rows.x.dtype, 2 + int(math.log(count))
    root = None if metric is None else jnp.linalg.cholesky(metric).T.astype(dtype)

    def distance(centre: Float[Array, " D"]) -> Float[Array, "n C"]:
        away = rows.x - centre[None, :, None]
        return jnp.sum((away if root is None else root[None] @ away) ** 2, 1)

    def add(nearest: tuple[Array, Array, Array], at: tuple[Key, Array]) -> tuple[tuple[Array, Array, Array], None]:
        best, index, centres = nearest
        key, i = at
        # Where every row sits on a centre already, the weights alone decide.
        candidates = _draw(key, rows, rows.w * jnp.maximum(best, jnp.finfo(dtype).tiny), (tries,))
        left = jnp.minimum(best[None], jax.lax.map(distance, candidates))
        chosen = jnp.argmin(jnp.sum(rows.w[None] * left, (1, 2)))
        index = jnp.where(left[chosen] < best, i, index)
        return (left[chosen], index, centres.at[i].set(candidates[chosen])), None

    key_first, key_others = jax.random.split(key)
    first = _draw(key_first, rows, rows.w)
    centres = jnp.zeros((count, len(first)), dtype).at[0].set(first)
    start = distance(first), jnp.zeros(rows.w.shape, jnp.int32), centres
    keys = jax.random.split(key_others, count)[1:]
    (_, index, centres), _ = jax.lax.scan(add, start, (keys, jnp.arange(1, count, dtype=jnp.int32)))
    away = rows.x - jnp.moveaxis(centres[index], 2, 1)
    return centres, jnp.sum(rows.w[:, None, :] * away**2, (0, 2)) / jnp.sum(rows.w)


def _draw(key: Key, rows: Chunks, mass: Float[Array, "n C"], shape: tuple[int, ...] = ()) -> Array:
    """Rows drawn with probability proportional to `mass`: shape (*shape, D)."""
    index = jax.random.categorical(key, jnp.log(mass.reshape(-1)), shape=shape)
    size = mass.shape[1]
    return rows.x[index // size, :, index % size]


def responsibilities(log_joint: Float[Array, "K C"], w: Float[Array, " C"]) -> tuple[Float[Array, "K C"], Array]:
    """Weighted responsibilities and the weighted sum of log p(x) from log p(x, k) of a chunk's rows."""
    top = jnp.max(log_joint, 0)
    mass = jnp.exp(log_joint - top[None])
    total = jnp.sum(mass, 0)
    return mass * (w / total)[None], jnp.sum(w * (top + jnp.log(total)))


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
