"""Codes, draws from the posteriors of rows: their draws, probes of their labels, and clusters."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from vaejax import em
from vaejax.checks import integer_labels, require_choice, require_integer, require_number
from vaejax.distributions import bind
from vaejax.evaluate.evidence import labels as likeliest
from vaejax.evaluate.rows import RowsLike, checked, entropy, finite_points, nearest, over_rows
from vaejax.models import GMM, LatentModel, infer
from vaejax.types import Array, ArrayLike, Context, Key, Params

__all__ = ["cluster", "encode_rows", "knn_probe", "linear_probe", "nmi", "softmax_regression"]


def _code(model: LatentModel, params: Params, key: Key, x: Array, context: Context, *, temperature: float) -> Array:
    _, _, p, q = infer(model, params, x, context)
    z = bind(q, p).sample(key, temperature)
    if not isinstance(z, jax.Array) or not jnp.issubdtype(z.dtype, jnp.floating):
        latents = jax.tree.map(jnp.shape, z)
        raise TypeError(f"{type(model).__name__}: expected one array of continuous latents, got {latents}")
    return jnp.ravel(z)


def encode_rows(
    model: LatentModel,
    params: Params,
    key: Key,
    x: RowsLike,
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
    return over_rows(_code, (model, params), (keys, *rows), batch=1024, temperature=float(temperature))


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
      codes: the voters; shapes are as for `linear_probe`.
      k: number of voters, by Euclidean distance.

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


def _kmeans(
    x: Float[np.ndarray, "N D"], count: int, steps: int, rng: np.random.Generator
) -> tuple[float, Int[np.ndarray, " N"]]:
    """Sum of squared distances to the centres, and the cluster of each point: Lloyd's steps from k-means++ seeds."""
    centres = x[rng.integers(len(x), size=1)]
    away = ((x - centres) ** 2).sum(1)
    for _ in range(count - 1):
        chances = np.maximum(away, np.finfo(x.dtype).tiny).astype(np.float64)
        seed = x[rng.choice(len(x), size=1, p=chances / chances.sum())]
        centres, away = np.concatenate([centres, seed]), np.minimum(away, ((x - seed) ** 2).sum(1))
    labels = np.zeros(len(x), int)
    for _ in range(steps):
        before, centres = centres, centres.copy()
        labels = (x @ before.T - 0.5 * (before**2).sum(1)).argmax(1)
        for label in np.unique(labels):  # an empty cluster stays where it is
            centres[label] = x[labels == label].mean(0)
        if (centres == before).all():
            break
    return float(((x - centres[labels]) ** 2).sum()), labels


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
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    points = (x - x.mean(0)).astype(np.float32)
    starts = [_kmeans(points, num_clusters, num_steps, rng) for _ in range(num_restarts)]
    return min(starts, key=lambda start: start[0])[1].astype(np.int32)


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
    from scipy.stats import contingency  # its import changes the warning filters

    a = integer_labels("a", a)
    b = integer_labels("b", b, len(a))
    joint = np.asarray(contingency.crosstab(a, b)[1]) / len(a)
    apart = entropy(joint.sum(0)) + entropy(joint.sum(1))
    return 1.0 if apart == 0.0 else float(np.clip(2.0 * (apart - entropy(joint.ravel())) / apart, 0.0, 1.0))
