"""Clusters of codes, and how they agree with labels."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaejax import em
from vaejax.evaluate.arrays import as_classes, as_points
from vaejax.evaluate.criteria import labels as likeliest
from vaejax.models import GMM
from vaejax.models.model import require_at_least

__all__ = ["cluster", "nmi"]

METHODS = ("kmeans", "gmm")


def _squared(x: jax.Array, centres: jax.Array) -> jax.Array:
    return jnp.sum(x**2, 1)[:, None] + jnp.sum(centres**2, 1)[None] - 2.0 * x @ centres.T


def _seed(key: jax.Array, x: jax.Array, count: int) -> jax.Array:
    """k-means++: each centre a row, by the squared distance to the nearest one so far."""
    keys = jax.random.split(key, count)
    tiny = jnp.finfo(x.dtype).tiny
    first = x[jax.random.randint(keys[0], (), 0, len(x))]

    def add(best: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        centre = x[jax.random.categorical(key, jnp.log(jnp.maximum(best, tiny)))]
        return jnp.minimum(best, jnp.sum((x - centre[None]) ** 2, 1)), centre

    _, others = jax.lax.scan(add, jnp.sum((x - first[None]) ** 2, 1), keys[1:])
    return jnp.concatenate([first[None], others])


@functools.partial(jax.jit, static_argnames=("count", "num_steps", "num_restarts"))
def _kmeans(key: jax.Array, x: jax.Array, count: int, num_steps: int, num_restarts: int) -> jax.Array:
    def start(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
            centres, i, _ = carry
            member = jax.nn.one_hot(jnp.argmin(_squared(x, centres), 1), count, dtype=x.dtype)
            size = jnp.sum(member, 0)[:, None]
            moved = jnp.where(size > 0, member.T @ x / jnp.maximum(size, 1.0), centres)
            return moved, i + 1, jnp.any(moved != centres)

        going = lambda carry: (carry[1] < num_steps) & carry[2]  # noqa: E731
        centres, _, _ = jax.lax.while_loop(going, step, (_seed(key, x, count), jnp.zeros((), int), jnp.ones((), bool)))
        distance = _squared(x, centres)
        return jnp.sum(jnp.min(distance, 1)), jnp.argmin(distance, 1)

    inertia, labels = jax.lax.map(start, jax.random.split(key, num_restarts))
    return labels[jnp.argmin(inertia)]


def cluster(
    key: jax.Array,
    codes: Any,
    num_clusters: int,
    *,
    method: str = "kmeans",
    num_steps: int = 100,
    num_restarts: int = 5,
) -> np.ndarray:
    """Cluster points by k-means, or by a Gaussian mixture with full covariances.

    Args:
      key: a PRNG key, for the seeds by k-means++.
      codes: points (N, D).
      num_clusters: number of clusters.
      method: `"kmeans"` (Lloyd's steps until nothing moves) or `"gmm"` (EM; the likeliest component).
      num_steps: steps, at most.
      num_restarts: starting points; the one with the best objective is kept.

    Returns:
      The cluster of each point, int32 (N,).

    Reference: Lloyd, 1982; Arthur and Vassilvitskii, 2007.

    >>> a, b, c = cluster(jax.random.key(0), np.array([[0.0], [0.1], [9.0]]), 2)
    >>> bool(a == b != c)
    True
    """
    for name, value in (("num_clusters", num_clusters), ("num_steps", num_steps), ("num_restarts", num_restarts)):
        require_at_least(name, value, 1)
    x = as_points("codes", codes, least=num_clusters)
    if method == "gmm":
        model = GMM(num_clusters, x.shape[1])
        params, _ = em.fit(model, key, x, num_steps=num_steps, num_restarts=num_restarts, tol=1e-6, progress=False)
        return np.asarray(likeliest(model, params, x.astype(np.float32)))
    if method != "kmeans":
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    rows = jnp.asarray(x - x.mean(0), jnp.float32)
    return np.asarray(_kmeans(key, rows, num_clusters, num_steps, num_restarts), np.int32)


def nmi(a: Any, b: Any) -> float:
    r"""Normalised mutual information of two labellings, $2\,I(a, b) / (H(a) + H(b))$.

    Args:
      a: labels (N,), for instance of clusters.
      b: labels (N,), for instance of classes.

    Returns:
      0 for independent labellings, 1 for equal ones up to names (also where both have one label only).

    Reference: Vinh, Epps and Bailey, 2010 (the arithmetic mean, as in scikit-learn).

    >>> nmi([0, 0, 1, 1], [5, 5, 2, 2])
    1.0
    """
    a = as_classes("a", a)
    b = as_classes("b", b, len(a))
    (_, a), (_, b) = (np.unique(labels, return_inverse=True) for labels in (a, b))
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1.0 / len(a))
    entropy = lambda p: float(-(p[p > 0] * np.log(p[p > 0])).sum())  # noqa: E731
    both, each = entropy(joint), entropy(joint.sum(0)) + entropy(joint.sum(1))
    return 1.0 if each == 0.0 else float(np.clip(2.0 * (each - both) / each, 0.0, 1.0))
