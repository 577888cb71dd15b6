"""The 8x8 digits that ship with the package."""

import functools
import importlib.resources

import numpy as np

from vaejax.data.dataset import Dataset, Split, hold_out

__all__ = ["digits"]


@functools.cache
def _arrays() -> tuple[np.ndarray, np.ndarray]:
    with importlib.resources.files("vaejax.data").joinpath("digits.npz").open("rb") as file:
        with np.load(file, allow_pickle=False) as saved:
            return saved["x"], saved["y"]


def digits(*, validation: int | float = 200, test: int = 397, seed: int = 0) -> Dataset:
    """Handwritten digits, 1797 images of 8x8 pixels with 17 grey levels, embedded in the package.

    The levels 0..16 are stored as uint8 multiples of 15 (0..240), so that /255 keeps them in [0, 1].
    The rows are scikit-learn's, in their order; the last `test` of them are the test part, which other
    writers wrote than the first ones.

    Args:
      validation: rows (or share of them) cut from train; 0 for none.
      test: rows at the end that are the test part.
      seed: of the choice of the validation rows.

    Returns:
      A `Dataset` with images (N, 8, 8, 1) uint8 and labels.

    Source: E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
    Repository (1998), licence CC BY 4.0; the test part of it, as scikit-learn distributes it.

    >>> digits().train.x.shape
    (1200, 8, 8, 1)
    """
    x, y = (array.copy() for array in _arrays())
    if not 0 <= test < len(x):
        raise ValueError(f"test: expected 0 to {len(x) - 1} rows, got {test!r}")
    cut = len(x) - test
    train, held = hold_out(Split(x[:cut], y[:cut]), validation, seed)
    return Dataset(train, held, Split(x[cut:], y[cut:]) if test else None)
