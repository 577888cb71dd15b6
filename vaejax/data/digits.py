"""The 8x8 digits that ship with the package."""

import functools
import importlib.resources

import numpy as np

from vaejax.checks import require_integer
from vaejax.data.dataset import Dataset, Split

__all__ = ["digits"]


@functools.cache
def _whole() -> Split:
    with importlib.resources.files("vaejax.data").joinpath("digits.npz").open("rb") as file:
        with np.load(file, allow_pickle=False) as saved:
            return Split(saved["x"], saved["y"])


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
    rows = np.arange(len(_whole()))
    cut = len(rows) - require_integer("test", test, 0, len(rows) - 1)
    part = _whole().take  # an index copies: nobody changes the rows of the cache
    return Dataset(part(rows[:cut]), test=part(rows[cut:]) if test else None).cut(validation, seed)
