"""How near samples are to data: distances and coverage of two sets of points, and what can be seen in pixels."""

from typing import Any, NamedTuple

import numpy as np

from vaejax.evaluate.arrays import as_points, as_rows
from vaejax.evaluate.neighbours import nearest, offsets

__all__ = [
    "Memorisation",
    "frechet_distance",
    "lag1_correlation",
    "memorisation",
    "out_of_range",
    "precision_recall",
]


def frechet_distance(x: Any, y: Any) -> float:
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
    x = as_points("x", x, least=2)
    y = as_points("y", y, x.shape[1], least=2)
    roots = [np.linalg.qr(p - p.mean(0), mode="r") / np.sqrt(len(p) - 1) for p in (x, y)]
    shift, spreads = ((x.mean(0) - y.mean(0)) ** 2).sum(), sum((root**2).sum() for root in roots)
    common = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    return float(max(shift + spreads - 2.0 * common, 0.0))


def precision_recall(x: Any, y: Any, k: int = 3) -> tuple[float, float]:
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
    x = as_points("x", x, least=k + 1)
    y = as_points("y", y, x.shape[1], least=k + 1)
    return _share_within(x, y, k), _share_within(y, x, k)


def _share_within(x: np.ndarray, y: np.ndarray, k: int) -> float:
    radius = nearest(y, y, k, itself=False)[1][:, -1] ** 2
    lengths = ((x - y.mean(0)) ** 2).sum(1)
    # Equal points differ by rounding, and where data repeat themselves a radius is zero.
    slack = 1e-13 * (lengths.max() + ((y - y.mean(0)) ** 2).sum(1).max())
    within = 0
    for piece, offset in offsets(x, y):
        offset -= radius[None] + slack
        within += int((offset.min(1) <= -lengths[piece]).sum())
    return within / len(x)


def lag1_correlation(images: Any) -> float:
    r"""Correlation of neighbouring pixels, over all pairs side by side or one above the other in all images.

    Independent noise has 0, natural images are near 1. Of residuals $x - \mu(z)$ it says whether the
    decoder's independent noise is like them.

    Args:
      images: (N, H, W, C), more than one pixel, not constant; any real values.

    >>> board = np.indices((4, 4)).sum(0)[None, :, :, None] % 2.0
    >>> round(lag1_correlation(board), 6)
    -1.0
    """
    x = as_rows("images", images)
    if x.ndim != 4 or x.shape[1] * x.shape[2] < 2:
        raise ValueError(f"images: expected (N, H, W, C) with more than one pixel, got shape {x.shape}")
    x = x.astype(np.float64)
    first = np.concatenate([x[:, :, :-1].ravel(), x[:, :-1].ravel()])
    second = np.concatenate([x[:, :, 1:].ravel(), x[:, 1:].ravel()])
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt((first**2).mean() * (second**2).mean())
    if scale == 0.0:
        raise ValueError("images: expected pixels that vary, got constant ones")
    return float((first * second).mean() / scale)


def out_of_range(x: Any, low: float = 0.0, high: float = 1.0) -> float:
    """Share of the values that lie outside [low, high].

    >>> out_of_range(np.array([[-0.1, 0.0], [1.0, 0.5]]))
    0.25
    """
    x = as_rows("x", x)
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
    nearest: np.ndarray


def memorisation(samples: Any, held_out: Any, train: Any) -> Memorisation:
    r"""Compare distances to the nearest training row, $\delta(x) = \min_n |x - x_n|$, of samples and of held-out data.

    Args:
      samples: rows (N, ...).
      held_out: rows of data that the model was not trained on.
      train: the rows that it was trained on.

    Reference: Lopez-Paz and Oquab, 2017 (on the one-nearest-neighbour test); Meehan et al., 2020.

    >>> x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    >>> memorisation(x[:100], x[100:200], x[:100])[:2]
    (0.0, 1.0)
    """
    train = as_rows("train", train)
    shape = train.shape[1:]
    flat = train.reshape(len(train), -1)
    rows = [as_rows(name, x, shape) for name, x in (("samples", samples), ("held_out", held_out))]
    (index, ours), (_, fresh) = (nearest(each.reshape(len(each), -1), flat) for each in rows)
    if fresh.mean() == 0.0:
        raise ValueError("held_out: expected rows that are not in train, got copies of it only")
    return Memorisation(float(ours.mean() / fresh.mean()), float((ours < np.quantile(fresh, 0.01)).mean()), index[:, 0])
