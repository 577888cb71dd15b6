"""Parts of `anomaly`: spoilt images, four scores of strangeness, and the worst mistakes of each."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import vaejax as vj
from experiments.harness.grid import Grid, plus_minus
from experiments.harness.study import Study
from experiments.shared import pixels
from experiments.shared.phrases import beyond_noise

__all__ = [
    "NAMES",
    "SHARE",
    "by_digit",
    "compared",
    "counts",
    "draw_mistakes",
    "mutate",
    "of_ratio",
    "scored",
    "without",
]

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
    rows = [NAMES.get(name, name).partition(",")[0] for name in scores]
    return vj.plots.image_grid(np.stack(shown), columns=2 * SHOWN, limits=(0, 1), title=title, row_labels=rows)


def draw_mistakes(study: Study, scores: dict[str, np.ndarray], split: vj.data.Split, digit: int) -> None:
    """Binarised test images of the digit that was left out, and others, that have the wrong scores."""
    title = f"{digit} left out: {SHOWN} of that digit scored as usual, {SHOWN} others scored as strange"
    study.figure(
        "mistakes",
        _mistakes(scores, pixels.binary(split), split.y == digit, title),
        caption=f"Mistakes where the {digit} was left out, one row a score: left the five of that digit that are "
        "scored as most usual, right the five of the others that are scored as strangest.",
    )


def by_digit(grid: Grid, over: Mapping[str, int]) -> tuple[Figure, dict[str, Any]]:
    """Points with standard errors of each score side by side at the digits that were left out, and their series."""
    series = {label: grid.line(over, name) for name, label in NAMES.items()}
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes, places = figure.subplots(), np.arange(len(over))
    for i, (label, (_, mean, error)) in enumerate(series.items()):
        x, mean, error = places + 0.14 * (i - 1.5), np.asarray(mean), np.nan_to_num(error)
        (dots,) = axes.plot(x, mean, "os^D"[i], markersize=5, label=label)
        axes.vlines(x, mean - error, mean + error, colors=dots.get_color())
    axes.axhline(0.5, color="black", linewidth=1, linestyle="--", label="chance")
    axes.set_xticks(places, [str(digit) for digit in over.values()])
    axes.set(xlabel="digit that was left out", ylabel="AUROC on test images", ylim=(0, 1), xlim=(-0.5, len(over) - 0.5))
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure, series


def of_ratio(grid: Grid, variant: str) -> tuple[str, str]:
    """Whether the likelihood ratio is higher than the ELBO, and on which side of chance it is."""
    ratio, bound = grid.mean(variant, "ratio"), grid.mean(variant, "elbo")
    return "higher" if ratio > bound else "not higher", "below" if ratio < 0.5 else "above"


def compared(grid: Grid, over: Iterable[str]) -> str:
    """Which score is highest over the digits, and by how much, paired by seed."""
    each = {label: np.mean([grid.values(variant, name) for variant in over], 0) for name, label in NAMES.items()}
    best = max(each, key=lambda label: each[label].mean())
    gains = {label: each[best] - values for label, values in each.items() if label != best}
    said = ", ".join(f"{label} {plus_minus(gain, 3)}" for label, gain in gains.items())
    same = [label for label, gain in gains.items() if not beyond_noise(gain)]
    verdict = f"no difference is shown from {', '.join(same)}" if same else "all differences are shown"
    values = ", ".join(f"{label} {plus_minus(value, 3)}" for label, value in each.items())
    return f"Mean AUROC over these digits: {values}. The highest less the others, paired by seed: {said}; {verdict}"
