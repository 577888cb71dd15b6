"""Pairs of codes and known factors: what the scores of them share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Pairs", "checked", "entropy", "scaled_accuracy", "standardised"]


class Pairs(NamedTuple):
    """Codes and the factors that vary.

    Attributes:
      codes: float64 (N, M).
      factors: integers (N, F); the values of categorical ones are numbered from 0 without gaps.
      categorical: bool (F,).
    """

    codes: np.ndarray
    factors: np.ndarray
    categorical: np.ndarray


def checked(codes: Any, factors: Any, categorical: Sequence[int] = ()) -> Pairs:
    """Check what a user hands over, and leave out the factors that do not vary."""
    codes, factors = np.asarray(codes), np.asarray(factors)
    if codes.ndim != 2 or 0 in codes.shape or codes.dtype.kind not in "fiu":
        raise ValueError(f"codes: expected numbers (N, M), got {codes.dtype} of shape {codes.shape}")
    if factors.ndim != 2 or factors.dtype.kind not in "iu" or len(factors) != len(codes):
        raise ValueError(f"factors: expected integers ({len(codes)}, F), got {factors.dtype} of shape {factors.shape}")
    bad = ~np.isfinite(codes).all(1)
    if bad.any():
        raise ValueError(f"codes: expected finite values, got nan or inf in row {int(np.argmax(bad))}")
    if any(not 0 <= column < factors.shape[1] for column in categorical):
        raise ValueError(f"categorical: expected columns below {factors.shape[1]}, got {tuple(categorical)}")
    varying = np.ptp(factors, 0) > 0
    if not varying.any():
        raise ValueError("factors: expected at least one column that varies, got none")
    factors = factors.astype(np.int64)
    for column in categorical:
        factors[:, column] = np.unique(factors[:, column], return_inverse=True)[1]
    named = np.isin(np.arange(len(varying)), categorical)
    return Pairs(codes.astype(np.float64), factors[:, varying], named[varying])


def entropy(p: np.ndarray) -> np.ndarray:
    """Entropy along the last axis, nats."""
    return -np.sum(p * np.log(np.where(p > 0.0, p, 1.0)), -1)


def standardised(columns: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1; constant ones are 0."""
    spread = np.where(np.ptp(columns, 0) > 0.0, columns.std(0), np.inf)
    return (columns - columns.mean(0)[None]) / spread[None]


def scaled_accuracy(true: np.ndarray, guess: np.ndarray) -> float:
    """Balanced accuracy over the classes that occur, rescaled so that chance is 0 and a perfect guess 1."""
    count = np.bincount(true)
    accuracy = (np.bincount(true, true == guess)[count > 0] / count[count > 0]).mean()
    chance = 1.0 / np.count_nonzero(count)
    return float((accuracy - chance) / (1.0 - chance)) if chance < 1.0 else 0.0
