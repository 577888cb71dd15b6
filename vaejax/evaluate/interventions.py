"""Scores of an encoder by interventions: one factor is held, the others are drawn, and the codes must show which."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from vaejax.checks import require_integer
from vaejax.data import Sprites
from vaejax.evaluate.codes import softmax_regression
from vaejax.types import Array, Key

__all__ = ["Encode", "beta_vae_score", "encode_factors", "factor_vae_score"]

Encode = Callable[[Array], Any]

_AT_ONCE = 256


def encode_factors(encode: Encode, sprites: Sprites, factors: Int[np.ndarray, "N F"]) -> Float[np.ndarray, "N M"]:
    """Codes of the images of many factors, float64; `encode` always gets 256 images, so it compiles once."""
    blocks = []
    for start in range(0, len(factors), _AT_ONCE):
        block = factors[start : start + _AT_ONCE]
        some = np.asarray(encode(sprites.render(np.resize(block, (_AT_ONCE, block.shape[1])))))
        if some.ndim != 2 or len(some) != _AT_ONCE or some.shape[1] == 0:
            raise ValueError(f"encode: expected codes ({_AT_ONCE}, M) of {_AT_ONCE} images, got shape {some.shape}")
        blocks.append(some[: len(block)].astype(np.float64))
    codes = np.concatenate(blocks)
    bad = ~np.isfinite(codes).all(1)
    if bad.any():
        row = factors[np.argmax(bad)].tolist()
        raise ValueError(f"encode: expected finite codes, got nan or inf for the image of the factors {row}")
    return codes


def _intervened(
    encode: Encode, sprites: Sprites, key: Key, votes: int, groups: int, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (votes, groups, rows, M) and, for each vote, which varying factor has one value in each group's rows."""
    key_held, key_factors = jax.random.split(key)
    held = np.asarray(jax.random.randint(key_held, (votes,), 0, len(sprites.varying)))
    factors = sprites.draw(key_factors, votes * groups * rows).reshape(votes, groups, rows, -1)
    column = np.array(sprites.varying)[held]
    same = np.arange(factors.shape[-1])[None, None, None, :] == column[:, None, None, None]
    factors = np.where(same, factors[:, :, :1], factors)
    codes = encode_factors(encode, sprites, factors.reshape(-1, factors.shape[-1]))
    return codes.reshape(votes, groups, rows, -1), held


def _require(sprites: Sprites, counts: dict[str, tuple[int, int]]) -> None:
    for name, (count, least) in counts.items():
        require_integer(name, count, least)
    if len(sprites.varying) < 2:
        raise ValueError(f"sprites: expected at least two factors that vary, got {len(sprites.varying)}")


def beta_vae_score(
    encode: Encode, sprites: Sprites, key: Key, *, num_train: int = 800, num_test: int = 400, pairs: int = 64
) -> float:
    r"""Accuracy of a linear classifier that tells which factor the two images of each pair have in common.

    One row of the classifier's data holds a factor k, draws L pairs of images, each with one value of k and all other
    factors independent, and averages the absolute differences of the codes:

    $$r = \frac1L\sum_{l=1}^L |z^{(1)}_l - z^{(2)}_l| \to k$$

    The classifier is a multinomial logistic regression with a penalty of $10^{-4}\|W\|^2$.

    Args:
      encode: from images (256, S, S, 1) uint8 to codes (256, M); compile it.
      sprites: draws and renders factors; those that are fixed in it are never held.
      num_train: rows to fit the classifier on.
      num_test: rows to score it on.
      pairs: L.

    Returns:
      A number from 0 to 1. Chance is one over the number of varying factors, and where codes collapse the score is
      about that.

    Differs from the paper: each column of r is standardised over the train rows, so that the score does not depend on
    the codes' scales. Locatello et al., 2019, take 10 000 train and 5 000 test rows.

    Reference: Higgins et al., 2017, section 3.

    >>> from vaejax import data
    >>> some = data.sprites(1, size=16, fixed={"shape": 0, "scale": 0, "orientation": 0})
    >>> centre = lambda images: np.stack([images[..., 0].mean(i) @ np.arange(16.0) for i in (1, 2)], 1)  # x, y
    >>> beta_vae_score(centre, some, jax.random.key(0), num_train=50, num_test=50, pairs=4) > 0.9
    True
    """
    _require(sprites, {"num_train": (num_train, 2), "num_test": (num_test, 1), "pairs": (pairs, 1)})
    codes, held = _intervened(encode, sprites, key, num_train + num_test, pairs, 2)
    rows = np.abs(codes[:, :, 0] - codes[:, :, 1]).mean(1)
    centre, spread = rows[:num_train].mean(0), rows[:num_train].std(0)
    rows = (rows - centre[None]) / np.where(spread > 0.0, spread, np.inf)[None]
    weights = softmax_regression(rows[:num_train], held[:num_train], len(sprites.varying), 2e-4, on_bias=True)
    guess = np.argmax(rows[num_train:] @ weights[:-1] + weights[-1], 1)
    return float(np.mean(guess == held[num_train:]))


def factor_vae_score(
    encode: Encode, sprites: Sprites, key: Key, *, num_train: int = 800, num_test: int = 400, rows: int = 64
) -> float:
    r"""Accuracy of a majority vote that tells which factor a batch of images has in common.

    One vote holds a factor k at one value in L images and takes the code that varies least, on the scale of its own
    variance over all images:

    $$j^* = \arg\min_j \frac{\mathrm{Var}_l\, z_{lj}}{\mathrm{Var}\, z_j},\qquad (j^*, k)$$

    Each code is then given the factor that most of its train votes name, and the test votes are counted.

    Args:
      encode: as for `beta_vae_score`, like `sprites`.
      num_train: votes that choose each code's factor.
      num_test: votes to score on.
      rows: L.

    Returns:
      A number from 0 to 1. Codes that are constant do not vote; if all of them are, the score is chance, one over the
      number of varying factors.

    Differs from the paper: test votes are other ones than the train votes, and units that the prior has taken over
    are left out only where they are constant. Var z is that of all rows of all votes, in which each factor has its
    own distribution.

    Reference: Kim and Mnih, 2018, section 4; Locatello et al., 2019, take 10 000 train and 5 000 test votes.

    >>> from vaejax import data
    >>> some = data.sprites(1, size=16, fixed={"shape": 0, "scale": 0, "orientation": 0})
    >>> centre = lambda images: np.stack([images[..., 0].mean(i) @ np.arange(16.0) for i in (1, 2)], 1)  # x, y
    >>> factor_vae_score(centre, some, jax.random.key(0), num_train=20, num_test=20, rows=8)
    1.0
    """
    _require(sprites, {"num_train": (num_train, 1), "num_test": (num_test, 1), "rows": (rows, 2)})
    codes, held = _intervened(encode, sprites, key, num_train + num_test, 1, rows)
    codes, classes = codes[:, 0], len(sprites.varying)
    every = codes.reshape(-1, codes.shape[-1])
    alive = np.ptp(every, 0) > 0.0
    if not alive.any():
        return 1.0 / classes
    least = np.argmin(codes[..., alive].var(1) / every[:, alive].var(0)[None], 1)
    counts = np.zeros((np.count_nonzero(alive), classes), int)
    np.add.at(counts, (least[:num_train], held[:num_train]), 1)
    return float(np.mean(np.argmax(counts, 1)[least[num_train:]] == held[num_train:]))
