"""What codes know of labels: a linear and a nearest-neighbour classifier on them."""

from typing import Any

import numpy as np

from vaejax.evaluate.arrays import as_classes, as_points
from vaejax.evaluate.neighbours import nearest

__all__ = ["knn_probe", "linear_probe"]


def linear_probe(codes: Any, labels: Any, test_codes: Any, test_labels: Any, *, ridge: float = 1e-3) -> float:
    r"""Accuracy of multinomial logistic regression from codes to labels.

    $$\max_{W,b}\ \frac1N\sum_n \ln\mathrm{softmax}(Wz_n + b)_{y_n} - \frac{\text{ridge}}{2}|W|^2$$

    on codes that are standardised by the training ones. The problem is strictly concave in W; L-BFGS
    solves it in float64, so that the number depends on no seed.

    Args:
      codes: (N, M), to fit on.
      labels: (N,) integers.
      test_codes: (N', M), to score.
      test_labels: (N',).
      ridge: weight of the penalty.

    Returns:
      Share of the test rows that are labelled right.

    Differs from least squares on one-hot labels, which hides classes between others where there are
    more of them than dimensions (ten digits in two latents).

    Reference: Alain and Bengio, 2017.

    >>> z = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> linear_probe(z, [0, 0, 1, 1], z, [0, 0, 1, 0])
    0.75
    """
    from scipy.optimize import minimize  # its import changes the warning filters

    z, y, test, wanted = _pairs(codes, labels, test_codes, test_labels)
    if not ridge > 0:
        raise ValueError(f"ridge: expected a positive number, got {ridge!r}")
    mean, scale = z.mean(0), z.std(0)
    scale[scale == 0.0] = 1.0
    z, test = ((points - mean) / scale for points in (z, test))
    classes, target = np.unique(y, return_inverse=True)
    dim, count = z.shape[1], len(classes)
    one_hot = np.eye(count)[target]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = flat[: dim * count].reshape(dim, count), flat[dim * count :]
        logits = z @ weight + bias
        logits -= logits.max(1, keepdims=True)
        total = np.exp(logits).sum(1, keepdims=True)
        error = (np.exp(logits) / total - one_hot) / len(z)
        value = np.mean(np.log(total[:, 0]) - (logits * one_hot).sum(1)) + 0.5 * ridge * (weight**2).sum()
        return float(value), np.concatenate([(z.T @ error + ridge * weight).ravel(), error.sum(0)])

    found = minimize(loss, np.zeros((dim + 1) * count), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    weight, bias = found.x[: dim * count].reshape(dim, count), found.x[dim * count :]
    return float((classes[(test @ weight + bias).argmax(1)] == wanted).mean())


def knn_probe(codes: Any, labels: Any, test_codes: Any, test_labels: Any, *, k: int = 5) -> float:
    """Accuracy of a vote among the k nearest codes, in Euclidean distance; a tie goes to the nearer voters.

    Args:
      codes: (N, M), the voters.
      labels: (N,) integers.
      test_codes: (N', M), to score.
      test_labels: (N',).
      k: voters.

    >>> z = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> knn_probe(z, [0, 0, 1, 1], z, [0, 0, 1, 0], k=1)
    0.75
    """
    z, y, test, wanted = _pairs(codes, labels, test_codes, test_labels)
    index, _ = nearest(test, z, k)
    classes, target = np.unique(y, return_inverse=True)
    votes = np.zeros((len(test), len(classes)))
    for j in range(k):
        # A fraction below one vote, larger for nearer ones, and below one for all of them together.
        votes[np.arange(len(test)), target[index[:, j]]] += 1.0 + (k - j) / (k * (k + 1))
    return float((classes[votes.argmax(1)] == wanted).mean())


def _pairs(codes: Any, labels: Any, test_codes: Any, test_labels: Any) -> tuple[np.ndarray, ...]:
    z = as_points("codes", codes)
    test = as_points("test_codes", test_codes, z.shape[1])
    return z, as_classes("labels", labels, len(z)), test, as_classes("test_labels", test_labels, len(test))
