"""Gaps between the best and the second best code of each factor: MIG and SAP."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vaejax.evaluate.pairs import checked, entropy, scaled_accuracy, standardised

__all__ = ["mig", "sap"]


def mig(codes: Any, factors: Any, *, bins: int = 20) -> float:
    r"""Mutual information gap: how much more the best code says of a factor than the second best.

    $$\frac1F\sum_k \frac{I(z_{(1)}; v_k) - I(z_{(2)}; v_k)}{H(v_k)} \in [0, 1]$$

    with $z_{(1)}, z_{(2)}$ the codes of the largest mutual information with $v_k$ (the second is 0 where there is
    one code only). A code is cut into `bins` bins of equal width over its range; a constant one has information 0.

    Args:
      codes: (N, M), one row an image.
      factors: integers (N, F); those that do not vary are left out.
      bins: of each code. They bound the score of factors with more values: of 32 evenly spaced ones, equally
        likely, 20 bins keep .85.

    Returns:
      A number from 0 to 1; its expectation for codes that are independent of the factors is near 0.

    Differs from the paper, as Locatello et al., 2019, do: histograms of the posterior means and no draws from q(z|x).

    Reference: Chen, Li, Grosse and Duvenaud, 2018, equation 6; Locatello et al., 2019, appendix C.

    >>> factors = np.stack(np.unravel_index(np.arange(12), (3, 4)), 1)
    >>> mig(factors[:, ::-1] * 0.5, factors)
    1.0
    >>> round(mig(np.stack([factors[:, 0], 4 * factors[:, 0] + factors[:, 1]], 1), factors), 3)
    0.5
    """
    codes, factors, _ = checked(codes, factors)
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
        raise ValueError(f"bins: expected an integer of at least 2, got {bins!r}")
    low, width = codes.min(0), np.ptp(codes, 0)
    cells = (codes - low[None]) / np.where(width, width, 1.0)[None] * bins
    cells = np.minimum(cells.astype(int), bins - 1)
    gaps = []
    for value in factors.T:
        value = np.unique(value, return_inverse=True)[1]
        values = value.max() + 1
        joint = np.stack([np.bincount(cell * values + value, minlength=bins * values) for cell in cells.T])
        joint = joint.reshape(-1, bins, values) / len(codes)
        of_factor = entropy(joint[0].sum(0))
        information = entropy(joint.sum(2)) + of_factor - entropy(joint.reshape(len(joint), -1))
        gaps.append(_gap(information / of_factor))
    return float(np.mean(gaps))


def sap(codes: Any, factors: Any, *, categorical: Sequence[int] = ()) -> float:
    r"""Separated attribute predictability: how much better the best code predicts a factor than the second best.

    $$\frac1F\sum_k S_{(1)k} - S_{(2)k} \in [0, 1]$$

    with $S_{jk}$ the squared correlation of code j and factor k or, for a categorical factor, the balanced accuracy of
    the classes by their nearest mean in code j, rescaled so that chance is 0. A constant code predicts nothing: 0.

    Args:
      codes: (N, M), one row an image.
      factors: integers (N, F); those that do not vary are left out.
      categorical: columns of the factors whose values are names, not numbers: `(0,)` for sprites.

    Returns:
      A number from 0 to 1.

    Differs from the paper: nearest means instead of thresholds by search, accuracies on the scale of $R^2$ instead of
    raw. Both are in sample, one number a class being fitted. A circular factor (orientation) counts as a number, in
    which a code of its angle's sine or cosine has a part only.

    Reference: Kumar, Sattigeri and Balakrishnan, 2018, section 3.

    >>> factors = np.stack(np.unravel_index(np.arange(12), (3, 4)), 1)
    >>> round(sap(factors * -2.0, factors), 4), round(sap(factors * -2.0, factors, categorical=(0, 1)), 4)
    (1.0, 1.0)
    >>> round(sap(factors @ np.array([[1.0, 1.0], [1.0, -1.0]]), factors), 4)
    0.0
    """
    codes, factors, classes = checked(codes, factors, categorical)
    codes = standardised(codes)
    gaps = []
    for value, named in zip(factors.T, classes, strict=True):
        if named:
            scores = [scaled_accuracy(value, _nearest_mean(code, value)) for code in codes.T]
        else:
            scores = (standardised(value[:, None].astype(float)) * codes).mean(0) ** 2
        gaps.append(_gap(np.asarray(scores)))
    return float(np.mean(gaps))


def _gap(scores: np.ndarray) -> float:
    best = np.sort(np.append(scores, 0.0))
    return float(best[-1] - best[-2])


def _nearest_mean(code: np.ndarray, classes: np.ndarray) -> np.ndarray:
    count = np.bincount(classes)
    means = np.bincount(classes, code) / count
    order = np.argsort(means, kind="stable")
    return order[np.searchsorted((means[order][1:] + means[order][:-1]) / 2.0, code)]
