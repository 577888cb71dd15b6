"""What `anomaly` is made of: spoilt images, four scores of strangeness, and the worst mistakes of each."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import vaejax as vj
from experiments import images
from experiments.study import Study

__all__ = ["NAMES", "SHARE", "counts", "draw_mistakes", "mutate", "scored", "without"]

NAMES = {"elbo": "ELBO", "iwae": "IWAE", "ratio": "likelihood ratio", "autoencoder": "autoencoder, squared error"}
SHARE = 0.2  # of the pixels, which the background model sees replaced by a fair coin
SHOWN = 5  # images of each kind of mistake


def counts(data: vj.data.Dataset, most: int) -> tuple[int, int]:
    """Images to train on, at most so many (0: all), and to validate on, that are there whichever digit is left out.

    With one number for all digits there is one compilation.
    """
    train, validation = (len(part) - int(np.bincount(part.y).max()) for part in data.parts[:2])
    return min(most or train, train), validation


def without(data: vj.data.Dataset, digit: int, sizes: tuple[int, int]) -> vj.data.Dataset:
    """The first images of the others, to train and to validate on."""
    both = zip(data.parts[:2], sizes, strict=True)
    return vj.data.Dataset(*(part.take(np.flatnonzero(part.y != digit)[:size]) for part, size in both))


def mutate(key: jax.Array, x: jax.Array) -> jax.Array:
    """Binarised pixels, some of them replaced by a fair coin."""
    keys = jax.random.split(key, 3)
    coin, mutated = (jax.random.bernoulli(k, p, x.shape) for k, p in zip(keys[:2], (0.5, SHARE), strict=True))
    return jnp.where(mutated, coin.astype("float32"), vj.transforms.binarize(keys[2], x))


def scored(vae: Any, usual: Any, background: Any, autoencoder: tuple[Any, Any], test: Any, k: int) -> dict[str, Any]:
    """Scores by the names of `NAMES`, of each test image, the larger the stranger.

    Args:
      vae: a VAE.
      usual: its parameters, fitted to images.
      background: its parameters, fitted to what `mutate` leaves of them.
      autoencoder: one with its parameters.
      test: binarised images.
      k: draws an image of the importance-weighted bound.
    """
    score = lambda *fit, **how: vj.evaluate.anomaly_scores(*fit, jax.random.key(100), test, **how)  # noqa: E731
    return {
        "elbo": score(vae, usual),
        "iwae": score(vae, usual, score="iwae", k=k),
        "ratio": score(vae, usual, background=(vae, background)),
        "autoencoder": score(*autoencoder),
    }


def _mistakes(scores: dict[str, np.ndarray], test: np.ndarray, strange: np.ndarray, title: str) -> Figure:
    """A row a score: the strange images that are scored as most usual, then the usual ones scored as strangest."""
    shown = []
    for score in scores.values():
        order = np.argsort(score)
        shown += [*test[order[strange[order]][:SHOWN]], *test[order[~strange[order]][-SHOWN:]]]
    return vj.plots.image_grid(np.stack(shown), columns=2 * SHOWN, limits=(0, 1), title=title)


def draw_mistakes(study: Study, scores: dict[str, np.ndarray], split: vj.data.Split, digit: int) -> None:
    """Binarised test images of the digit that was left out, and others, that have the wrong scores."""
    title = f"{digit} left out; rows: " + ", ".join(NAMES.values())
    study.figure(
        "mistakes",
        _mistakes(scores, images.binary(split), split.y == digit, title),
        caption=f"Mistakes where the {digit} was left out, one row a score: left the five of that digit that are "
        "scored as most usual, right the five of the others that are scored as strangest.",
    )
