"""Samples against data: distances and coverage of two sets of points, pixels, copies, and all in one call."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from vaejax.checks import finite_rows, integer_labels
from vaejax.evaluate.classifier import Classifier
from vaejax.evaluate.rows import entropy, finite_points, nearest, offsets
from vaejax.types import ArrayLike

__all__ = [
    "Memorisation",
    "Quality",
    "frechet_distance",
    "lag1_correlation",
    "memorisation",
    "mmd",
    "out_of_range",
    "precision_recall",
    "sample_quality",
]

_FOR_MEDIAN = 1000
_LOOKED_UP = 2000  # rows whose nearest training rows are searched for


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    r"""Squared Fréchet distance of the Gaussians with the moments of two sets of points.

    $$d^2 = |\mu_x - \mu_y|^2 + \mathrm{tr}\,\Sigma_x + \mathrm{tr}\,\Sigma_y
      - 2\,\mathrm{tr}\big(\Sigma_x^{1/2}\,\Sigma_y\,\Sigma_x^{1/2}\big)^{1/2}$$

    With $\Sigma_x = A^\top A$ and $\Sigma_y = B^\top B$ the last trace is the sum of the singular values of
    $AB^\top$, the square roots of the eigenvalues of $\Sigma_x^{1/2}\Sigma_y\Sigma_x^{1/2}$. A and B come
    from a QR factorisation of the centred points, in float64: no covariance is formed and no root of a
    rounded zero is taken, so that fewer points than dimensions are no trouble numerically.

    Args:
      x: points (N, D), at least two: features of samples.
      y: points (M, D): features of data.

    Returns:
      $d^2$, at least 0, in squared units of the points. As an estimate it is biased upwards, by about
      1/N: compare sets of one size only.

    Reference: Dowson and Landau, 1982; Heusel et al., 2017 (there in Inception features).

    >>> square = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> round(frechet_distance(square, square + np.array([3.0, 4.0])), 6)
    25.0
    """
    x = finite_points("x", x, least=2)
    y = finite_points("y", y, x.shape[1], least=2)
    roots = [np.linalg.qr(p - p.mean(0), mode="r") / np.sqrt(len(p) - 1) for p in (x, y)]
    shift, spreads = ((x.mean(0) - y.mean(0)) ** 2).sum(), sum((root**2).sum() for root in roots)
    common = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    return float(max(shift + spreads - 2.0 * common, 0.0))


def _squares(x: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
    """Squared distances of the rows of x and y, a piece of x at a time."""
    lengths = ((x - y.mean(0)) ** 2).sum(1)
    for piece, offset in offsets(x, y):
        yield np.maximum(offset + lengths[piece][:, None], 0.0)


def _mean_kernel(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    """Mean of the kernel over all pairs, or over those of two different rows where x is y."""
    total = sum(np.exp(squares / (-2.0 * bandwidth**2)).sum() for squares in _squares(x, y))
    return (total - len(x)) / (len(x) * (len(x) - 1)) if x is y else total / (len(x) * len(y))


def mmd(x: ArrayLike, y: ArrayLike, bandwidth: float | Literal["median"] = "median") -> float:
    r"""Squared maximum mean discrepancy with a Gaussian kernel, the unbiased estimate.

    $$\frac{1}{n(n-1)}\sum_{i\ne j}k(x_i,x_j) + \frac{1}{m(m-1)}\sum_{i\ne j}k(y_i,y_j)
    - \frac{2}{nm}\sum_{ij}k(x_i,y_j), \qquad k(a,b) = e^{-\|a-b\|^2/2h^2}$$

    Its mean is zero where both samples have one distribution, so that it may be negative.

    Args:
      x: rows (n, ...).
      y: rows (m, ...) of as many entries.
      bandwidth: h; `"median"` for the median distance between the rows of both together (a thousand of them).
        Compare numbers of one bandwidth only.

    Reference: Gretton et al., 2012, equation 3; section 8 for the median.

    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> mmd(x, x + 3.0) > 0.5 > mmd(x, x[::-1] + 0.01) + 0.4
    True
    """
    x = finite_points("x", x, least=2)
    y = finite_points("y", y, x.shape[1], least=2)
    if bandwidth == "median":
        both = np.concatenate([x, y])
        some = both[np.linspace(0, len(both) - 1, min(len(both), _FOR_MEDIAN)).astype(int)]
        squares = np.concatenate(list(_squares(some, some)))[np.triu_indices(len(some), 1)]
        bandwidth = math.sqrt(np.median(squares)) or 1.0  # 0: more than half of the pairs are equal
    elif isinstance(bandwidth, str) or not 0 < bandwidth < math.inf:
        raise ValueError(f'bandwidth: expected "median" or a positive number, got {bandwidth!r}')
    within = _mean_kernel(x, x, bandwidth) + _mean_kernel(y, y, bandwidth)
    return float(within - 2.0 * _mean_kernel(x, y, bandwidth))


def precision_recall(x: ArrayLike, y: ArrayLike, k: int = 3) -> tuple[float, float]:
    r"""Share of samples within the data (precision) and of data within the samples (recall).

    A point is within a set where it lies in the ball of one of the set's points, whose radius is the
    distance to the k-th nearest other one:
    $$\mathrm{precision} = \frac1N\sum_n [\exists m: |x_n - y_m| \le r_k(y_m)]$$
    and recall with the sets exchanged.

    Args:
      x: points (N, D), more than k: features of samples.
      y: points (M, D): features of data.
      k: neighbours that make the radius.

    Returns:
      `(precision, recall)`, each in [0, 1]; they move with N and M, so keep these.

    Reference: Kynkäänniemi et al., 2019, equations 1-2.

    >>> points = np.arange(8.0)[:, None]
    >>> precision_recall(points[:4], points)
    (1.0, 0.875)
    """
    x = finite_points("x", x, least=k + 1)
    y = finite_points("y", y, x.shape[1], least=k + 1)
    return _share_within(x, y, k), _share_within(y, x, k)


def _share_within(x: np.ndarray, y: np.ndarray, k: int) -> float:
    radius = nearest(y, y, k, itself=False)[1][:, -1] ** 2
    # Equal points differ by rounding, and where data repeat themselves a radius is zero.
    slack = 1e-13 * sum(((points - y.mean(0)) ** 2).sum(1).max() for points in (x, y))
    return sum(int((squares <= radius[None] + slack).any(1).sum()) for squares in _squares(x, y)) / len(x)


def lag1_correlation(images: ArrayLike) -> float:
    r"""Correlation of neighbouring pixels, over all pairs side by side or one above the other in all images.

    Independent noise has 0, natural images are near 1; residuals $x - \mu(z)$ are like the decoder's noise near 0.

    Args:
      images: (N, H, W, C), not constant.

    >>> board = np.indices((4, 4)).sum(0)[None, :, :, None] % 2.0
    >>> round(lag1_correlation(board), 6)
    -1.0
    """
    x = finite_rows("images", images)
    if x.ndim != 4 or x.shape[1] * x.shape[2] < 2:
        raise ValueError(f"images: expected (N, H, W, C) with more than one pixel, got shape {x.shape}")
    x = x.astype(np.float64)
    first = np.concatenate([x[:, :, :-1].ravel(), x[:, :-1].ravel()])
    second = np.concatenate([x[:, :, 1:].ravel(), x[:, 1:].ravel()])
    if 0.0 in (first.std(), second.std()):
        raise ValueError("images: expected pixels that vary, got constant ones")
    return float(np.corrcoef(first, second)[0, 1])


def out_of_range(x: ArrayLike, low: float = 0.0, high: float = 1.0) -> float:
    """Share of the values that lie outside [low, high].

    >>> out_of_range(np.array([[-0.1, 0.0], [1.0, 0.5]]))
    0.25
    """
    x = finite_rows("x", x)
    return float(((x < low) | (x > high)).mean())


class Memorisation(NamedTuple):
    """How near samples come to the training rows, against how near fresh data do.

    Attributes:
      ratio: mean distance of a sample to its nearest training row over that of held-out data: near 0
        where samples are copies, 1 for fresh data. Blurred samples are near everything: read it with recall.
      copies: share of the samples that are nearer to a training row than all but 1 % of held-out data.
      nearest: index of each sample's nearest training row, for looking at them.
    """

    ratio: float
    copies: float
    nearest: Int[np.ndarray, " N"]


def memorisation(samples: ArrayLike, held_out: ArrayLike, train: ArrayLike) -> Memorisation:
    r"""Compare distances to the nearest training row, $\delta(x) = \min_n |x - x_n|$, of samples and of held-out data.

    Args:
      samples: rows of the model.
      held_out: rows that it was not trained on.
      train: rows that it was trained on.

    Reference: Lopez-Paz and Oquab, 2017 (on the one-nearest-neighbour test); Meehan et al., 2020.

    >>> x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    >>> memorisation(x[:100], x[100:200], x[:100])[:2]
    (0.0, 1.0)
    """
    train = finite_rows("train", train)
    shape = (math.prod(train.shape[1:]),)
    rows = [finite_rows(name, x, shape) for name, x in (("samples", samples), ("held_out", held_out))]
    (index, ours), (_, fresh) = (nearest(points, train.reshape(len(train), -1)) for points in rows)
    if fresh.mean() == 0.0:
        raise ValueError("held_out: expected rows that are not in train, got copies of it only")
    return Memorisation(float(ours.mean() / fresh.mean()), float((ours < np.quantile(fresh, 0.01)).mean()), index[:, 0])


class Quality(dict[str, float]):
    """Numbers by name, with the protocol: the classifier with its checksum, the numbers of rows, k."""

    protocol: str


def _some(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, without repetition, always the same ones."""
    if len(rows) <= count:
        return rows
    return rows[np.random.default_rng(0).choice(len(rows), count, replace=False)]


def sample_quality(
    samples: ArrayLike,
    reference: ArrayLike,
    classifier: Classifier,
    *,
    train: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    k: int = 3,
) -> Quality:
    r"""Score samples against data that the model was not trained on, in the features of a named classifier.

    No one number ranks samples: the Fréchet distance may call noisy draws better than blurred means where precision
    and `lag1_correlation` call them worse.

    Args:
      samples: rows (N, ...) in the units of the data.
      reference: images (M, ...) of the test part; distances are biased by N and M, so keep these.
      classifier: its name and checksum are in the protocol.
      train: the training rows: whether samples are copies, and the Fréchet distance of as many fresh data.
      labels: classes (N,) that conditional samples were drawn for.
      k: neighbours of `precision_recall`.

    Returns:
      A `Quality`, a dict with a `protocol`: `frechet_distance`, `precision`, `recall`; `entropy`, the mean
      entropy of p(y|x), nats, low for clear samples; `class_entropy`, that of the mean p(y), high for all
      classes in balance, and `entropy` and `class_entropy` of the reference; `out_of_range`; of images
      `lag1_correlation` of both; `accuracy` with labels; `memorisation_ratio`, `copies` and
      `train_frechet_distance` with train.

    Reference: Heusel et al., 2017; Kynkäänniemi et al., 2019; Salimans et al., 2016, section 4 (its score
    is exp(class_entropy - entropy)).

    >>> import vaejax as vj
    >>> data = vj.data.digits()
    >>> classifier = vj.evaluate.classifier.train(data, num_steps=100)
    >>> quality = sample_quality(data.train.x[:397], data.test.x, classifier)
    >>> quality["out_of_range"], quality["precision"] > 0.7, quality["frechet_distance"] < 20
    (0.0, True, True)
    >>> quality.protocol.split(",")[0]
    'vaejax-mlp-v1-100-steps'
    """
    shape = classifier.shape
    samples = finite_rows("samples", samples, shape, k + 1)
    reference = finite_rows("reference", reference, shape, k + 1)
    ours, theirs = classifier.features(samples), classifier.features(reference)
    values = {"frechet_distance": frechet_distance(ours, theirs)}
    values["precision"], values["recall"] = precision_recall(ours, theirs, k)
    for prefix, rows in (("", samples), ("reference_", reference)):
        probabilities = np.exp(classifier.log_probabilities(rows).astype(np.float64))
        values[f"{prefix}entropy"] = float(entropy(probabilities).mean())
        values[f"{prefix}class_entropy"] = float(entropy(probabilities.mean(0)))
        if len(shape) == 3:
            values[f"{prefix}lag1_correlation"] = lag1_correlation(rows)
    values["out_of_range"] = out_of_range(samples)
    if labels is not None:
        true = integer_labels("labels", labels, len(samples), classifier.num_classes)
        values["accuracy"] = float((classifier.labels(samples) == true).mean())
    protocol = [str(classifier), f"{len(samples)} samples, {len(reference)} reference rows, k={k}"]
    if train is not None:
        train = finite_rows("train", train, shape)
        found = memorisation(_some(samples, _LOOKED_UP), _some(reference, _LOOKED_UP), train)
        values |= {"memorisation_ratio": found.ratio, "copies": found.copies}
        some = _some(train, len(samples))
        values["train_frechet_distance"] = frechet_distance(classifier.features(some), theirs)
        protocol.append(f"{len(train)} training rows, nearest ones of at most {_LOOKED_UP} rows")
        protocol.append(f"{len(some)} rows for train_frechet_distance")
    quality = Quality(values)
    quality.protocol = "; ".join(protocol)
    return quality
