"""Disentanglement, completeness and informativeness of codes, by how much each serves to predict each factor."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vaejax.evaluate.pairs import checked, entropy, scaled_accuracy, standardised

__all__ = ["DCI", "dci"]


class DCI(NamedTuple):
    """Three numbers from 0 to 1, the higher the better.

    Attributes:
      disentanglement: each code predicts one factor only.
      completeness: each factor is predicted by one code only.
      informativeness: the factors are predicted well, by whatever codes.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def dci(
    codes: Any, factors: Any, *, categorical: Sequence[int] = (), test: float = 0.3, trees: int = 30, seed: int = 0
) -> DCI:
    r"""Disentanglement, completeness and informativeness, from the importances of codes in predicting factors.

    With $R_{jk}$ the importance of code j for factor k (each factor's sum to 1),

    $$D = \sum_j \rho_j\Big(1 - H_F\Big(\frac{R_{j\cdot}}{\sum_k R_{jk}}\Big)\Big),\quad
    C = \frac1F\sum_k\big(1 - H_M(R_{\cdot k})\big),\quad \rho_j = \frac{\sum_k R_{jk}}{\sum_{jk} R_{jk}}$$

    where $H_n$ is the entropy to base n. Codes that are constant have importance 0, and codes that are all constant
    score 0 in everything; with one code alone C is 1, with one factor D is.

    Each factor is predicted by a random forest of scikit-learn (all codes open to every split, leaves of at least 2
    rows, importance by the decrease of impurity): a regression for numbers, a classification for names. I is the
    mean, over factors, of $R^2$ or of the balanced accuracy rescaled so that chance is 0, on the rows held out.

    Args:
      codes: (N, M), one row an image.
      factors: integers (N, F); those that do not vary are left out.
      categorical: columns of the factors whose values are names, not numbers: `(0,)` for sprites.
      test: share of the rows that are held out.
      trees: of each forest.
      seed: of the choice of the rows and of the forests.

    Returns:
      A `DCI`.

    Raises:
      ImportError: without scikit-learn; it says what to install.

    Differs from the paper, which reports prediction errors for I, lower being better, and chooses the forests'
    depth by cross-validation, and from Locatello et al., 2019, who boost trees and classify every factor.

    Reference: Eastwood and Williams, 2018, section 2.

    >>> factors = np.stack(np.unravel_index(np.tile(np.arange(12), 50), (3, 4)), 1)
    >>> [round(value, 3) for value in dci(factors * 0.5, factors, trees=5)]
    [1.0, 1.0, 1.0]
    """
    codes, factors, classes = checked(codes, factors, categorical)
    ensemble = _forests()
    held = np.zeros(len(codes), bool)
    held[np.random.default_rng(seed).permutation(len(codes))[: max(1, round(test * len(codes)))]] = True
    if not 0.0 < test < 1.0 or held.sum() > len(codes) - 2:
        raise ValueError(f"test: expected a share above 0 that leaves two of {len(codes)} rows, got {test!r}")
    codes = standardised(codes)
    options: dict[str, Any] = {"n_estimators": trees, "max_features": 1.0, "min_samples_leaf": 2}
    importance, scores = [], []
    for value, named in zip(factors.T, classes, strict=True):
        kind = ensemble.RandomForestClassifier if named else ensemble.RandomForestRegressor
        forest = kind(random_state=seed, **options)
        forest.fit(codes[~held], value[~held])
        guess, true = forest.predict(codes[held]), value[held]
        importance.append(forest.feature_importances_)
        score = scaled_accuracy(true, guess) if named else _explained(true, guess)
        scores.append(max(score, 0.0))
    return DCI(*_concentration(np.stack(importance, 1)), float(np.mean(scores)))


def _concentration(importance: np.ndarray) -> tuple[float, float]:
    """D and C of importances (M, F)."""
    total = importance.sum()
    if total == 0.0:
        return 0.0, 0.0

    def along(rows: np.ndarray) -> np.ndarray:
        sums = rows.sum(1, keepdims=True)
        return np.where(
            sums[:, 0] > 0.0, 1.0 - entropy(rows / np.where(sums, sums, 1.0)) / np.log(max(rows.shape[1], 2)), 0.0
        )

    weight = importance.sum(1) / total
    return float(weight @ along(importance)), float(along(importance.T).mean())


def _forests():
    try:
        from sklearn import ensemble
    except ImportError as missing:
        raise ImportError(
            'dci needs scikit-learn, which is not installed: python -m pip install "vaejax[experiments]" '
            "(from a checkout: python -m pip install -e '.[experiments]')"
        ) from missing
    return ensemble


def _explained(true: np.ndarray, guess: np.ndarray) -> float:
    variance = true.var()
    return float(1.0 - ((true - guess) ** 2).mean() / variance) if variance else 0.0
