"""Codes, draws from the posteriors of rows: their draws, probes of their labels, and clusters."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from vaejax import em
from vaejax.checks import integer_labels, require_choice, require_integer, require_number
from vaejax.distributions import bind
from vaejax.evaluate.evidence import labels as likeliest
from vaejax.evaluate.rows import Rows, checked, entropy, finite_points, nearest, over_rows
from vaejax.models import GMM, LatentModel
from vaejax.types import Array, ArrayLike, Key, Params

__all__ = ["cluster", "encode_rows", "knn_probe", "linear_probe", "nmi", "softmax_regression"]


def _code(model: LatentModel, params: Params, key: Key, row: Rows, *, temperature: float) -> Array:
    q = model.posterior(params, model.event(row.x), row.context)
    z = bind(q, model.prior(params, row.context)).sample(key, temperature)
    if not isinstance(z, jax.Array) or not jnp.issubdtype(z.dtype, jnp.floating):
        latents = jax.tree.map(jnp.shape, z)
        raise TypeError(f"{type(model).__name__}: expected one array of continuous latents, got {latents}")
    return jnp.ravel(z)


def encode_rows(
    model: LatentModel,
    params: Params,
    key: Key,
    x: ArrayLike | Rows,
    context: ArrayLike | None = None,
    *,
    temperature: float = 1.0,
) -> Float[np.ndarray, "N M"]:
    """A draw from the posterior of each row: the aggregate posterior, for probes, clusters and densities.

    Args:
      model: a model with one array of continuous latents.
      temperature: spread of the draws; 0 takes the centres.

    >>> import vaejax as vj
    >>> model = vj.PPCA(dim=5, latent_dim=2)
    >>> encode_rows(model, model.init(jax.random.key(0)), jax.random.key(1), np.zeros((3, 5)), temperature=0.0).shape
    (3, 2)
    """
    rows = checked(model, x, context)
    keys = jax.random.split(key, len(rows.x))
    return over_rows(_code, model, params, keys, rows, batch=1024, temperature=float(temperature))


def softmax_regression(
    x: Float[np.ndarray, "N D"], y: Int[np.ndarray, " N"], classes: int, ridge: float, on_bias: bool
) -> Float[np.ndarray, "D+1 K"]:
    r"""Weights, the bias last, that maximise $\frac1N\sum_n\ln\mathrm{softmax}(Wx_n + b)_{y_n} - \frac r2\|W\|^2$.

    L-BFGS in float64 from zeros: the result depends on no seed.

    Args:
      x: points.
      y: their classes, from 0 without gaps.
      classes: number of them.
      ridge: r.
      on_bias: whether the penalty is on the bias too.
    """
    from scipy import optimize, special  # their import changes the warning filters

    x, target = np.append(x, np.ones((len(x), 1)), 1), np.eye(classes)[y]
    penalty = np.full((x.shape[1], 1), ridge)
    penalty[-1] *= on_bias

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, classes)
        log_p = special.log_softmax(x @ weights, axis=1)
        value = -(target * log_p).sum() / len(x) + 0.5 * (penalty * weights**2).sum()
        return float(value), (x.T @ (np.exp(log_p) - target) / len(x) + penalty * weights).ravel()

    found = optimize.minimize(loss, np.zeros(x.shape[1] * classes), jac=True, method="L-BFGS-B")
    return found.x.reshape(-1, classes)


def linear_probe(
    codes: ArrayLike, labels: ArrayLike, test_codes: ArrayLike, test_labels: ArrayLike, *, ridge: float = 1e-3
) -> float:
    r"""Share of test rows that multinomial logistic regression from codes to labels gets right.

    $$\max_{W,b}\ \frac1N\sum_n \ln\mathrm{softmax}(Wz_n + b)_{y_n} - \frac{\text{ridge}}{2}|W|^2$$

    on codes that are standardised by the training ones.

    Args:
      codes: (N, M), to fit on.
      labels: (N,) integers.
      test_codes: (N', M), to score.
      test_labels: (N',).
      ridge: weight of the penalty.

    Differs from least squares on one-hot labels, which hides classes between others where there are
    more of them than dimensions (ten digits in two latents).

    Reference: Alain and Bengio, 2017.

    >>> z = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> linear_probe(z, [0, 0, 1, 1], z, [0, 0, 1, 0])
    0.75
    """
    z, y, test, true = _pairs(codes, labels, test_codes, test_labels)
    require_number("ridge", ridge, above=0.0)
    mean, scale = z.mean(0), z.std(0)
    scale[scale == 0.0] = 1.0
    classes, target = np.unique(y, return_inverse=True)
    weights = softmax_regression((z - mean) / scale, target, len(classes), ridge, on_bias=False)
    guess = (((test - mean) / scale) @ weights[:-1] + weights[-1]).argmax(1)
    return float((classes[guess] == true).mean())


def knn_probe(
    codes: ArrayLike, labels: ArrayLike, test_codes: ArrayLike, test_labels: ArrayLike, *, k: int = 5
) -> float:
    """Share of test rows that a vote among the k nearest codes gets right; a tie goes to the nearer voters.

    Args:
      codes: (N, M), the voters.
      labels: (N,) integers.
      test_codes: (N', M), to score.
      test_labels: (N',).
      k: voters, by Euclidean distance.

    >>> z = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> knn_probe(z, [0, 0, 1, 1], z, [0, 0, 1, 0], k=1)
    0.75
    """
    z, y, test, true = _pairs(codes, labels, test_codes, test_labels)
    index, _ = nearest(test, z, k)
    classes, target = np.unique(y, return_inverse=True)
    votes = np.zeros((len(test), len(classes)))
    for j in range(k):
        # A fraction below one vote, larger for nearer ones, and below one for all of them together.
        votes[np.arange(len(test)), target[index[:, j]]] += 1.0 + (k - j) / (k * (k + 1))
    return float((classes[votes.argmax(1)] == true).mean())


def _pairs(
    codes: ArrayLike, labels: ArrayLike, test_codes: ArrayLike, test_labels: ArrayLike
) -> tuple[np.ndarray, ...]:
    z = finite_points("codes", codes)
    test = finite_points("test_codes", test_codes, z.shape[1])
    return z, integer_labels("labels", labels, len(z)), test, integer_labels("test_labels", test_labels, len(test))


def _squared(x: Array, centres: Array) -> Array:
    return jnp.sum(x**2, 1)[:, None] + jnp.sum(centres**2, 1)[None] - 2.0 * x @ centres.T


def _seed(key: Key, x: Array, count: int) -> Array:
    """k-means++: each centre a row, by the squared distance to the nearest one so far."""
    keys = jax.random.split(key, count)
    tiny = jnp.finfo(x.dtype).tiny
    first = x[jax.random.randint(keys[0], (), 0, len(x))]

    def add(best: Array, key: Key) -> tuple[Array, Array]:
        centre = x[jax.random.categorical(key, jnp.log(jnp.maximum(best, tiny)))]
        return jnp.minimum(best, jnp.sum((x - centre[None]) ** 2, 1)), centre

    _, others = jax.lax.scan(add, jnp.sum((x - first[None]) ** 2, 1), keys[1:])
    return jnp.concatenate([first[None], others])


@functools.partial(jax.jit, static_argnames=("count", "num_steps", "num_restarts"))
def _kmeans(key: Key, x: Array, count: int, num_steps: int, num_restarts: int) -> Array:
    def start(key: Key) -> tuple[Array, Array]:
        def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
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
    key: Key,
    codes: ArrayLike,
    num_clusters: int,
    *,
    method: Literal["kmeans", "gmm"] = "kmeans",
    num_steps: int = 100,
    num_restarts: int = 5,
) -> Int[np.ndarray, " N"]:
    """The cluster of each point, int32, by k-means, or by a Gaussian mixture with full covariances.

    Args:
      key: for the seeds by k-means++.
      codes: points (N, D).
      num_clusters: number of clusters.
      method: `"kmeans"` (Lloyd's steps until nothing moves) or `"gmm"` (EM; the likeliest component).
      num_steps: steps, at most.
      num_restarts: starting points; the one with the best objective is kept.

    Reference: Lloyd, 1982; Arthur and Vassilvitskii, 2007.

    >>> a, b, c = cluster(jax.random.key(0), np.array([[0.0], [0.1], [9.0]]), 2)
    >>> bool(a == b != c)
    True
    """
    for name, value in (("num_clusters", num_clusters), ("num_steps", num_steps), ("num_restarts", num_restarts)):
        require_integer(name, value)
    require_choice("method", method, ("kmeans", "gmm"))
    x = finite_points("codes", codes, least=num_clusters)
    if method == "gmm":
        model = GMM(num_clusters, x.shape[1])
        params, _ = em.fit(model, key, x, num_steps=num_steps, num_restarts=num_restarts, tol=1e-6, progress=False)
        return likeliest(model, params, x.astype(np.float32))
    rows = jnp.asarray(x - x.mean(0), jnp.float32)
    return np.asarray(_kmeans(key, rows, num_clusters, num_steps, num_restarts), np.int32)


def nmi(a: ArrayLike, b: ArrayLike) -> float:
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
    a = integer_labels("a", a)
    b = integer_labels("b", b, len(a))
    (_, a), (_, b) = (np.unique(labels, return_inverse=True) for labels in (a, b))
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1.0 / len(a))
    apart = entropy(joint.sum(0)) + entropy(joint.sum(1))
    return 1.0 if apart == 0.0 else float(np.clip(2.0 * (apart - entropy(joint.ravel())) / apart, 0.0, 1.0))
