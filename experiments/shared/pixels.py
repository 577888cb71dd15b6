"""The images that experiments are made on: MNIST, or the embedded digits where a rough run will do."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from matplotlib.figure import Figure

import vaejax as vj
from experiments.harness.study import Base, Study

__all__ = [
    "Config",
    "binary",
    "dequantised",
    "grey",
    "grid",
    "load",
    "photographs",
    "protocol",
    "rows",
    "take",
    "trained",
]


@dataclasses.dataclass(frozen=True)
class Config(Base):
    """Settings of the experiments on images."""

    data: str = "mnist"
    """mnist, or digits: the embedded ones of 8x8 pixels."""
    epochs: int = 8
    """Passes over the training images; those of the best validation are kept."""
    latent_dim: int = 8
    """Latent variables."""
    hidden: tuple[int, ...] = (256, 256)
    """Hidden units of the encoder, and of the decoder."""
    k: int = 1000
    """Draws an image of the importance-weighted bound."""

    @classmethod
    def smoke(cls) -> Self:
        """Two epochs on the digits."""
        return cls.small(data="digits", epochs=2, hidden=(32,), k=20)

    @classmethod
    def full(cls) -> Self:
        """Until nothing changes, which takes hours on two cores."""
        return cls(size="full", seeds=5, epochs=60)


def load(name: str, train: int = 0, test: int = 1000) -> vj.data.Dataset:
    """`"mnist"` (the first `train` rows, 0 for all, 2000 rows to choose by) or `"digits"`; the first `test` of test."""
    data = vj.data.mnist(validation=2000) if name == "mnist" else vj.data.digits()
    assert data.test is not None
    first = data.train.take(slice(0, train or None))
    return vj.data.Dataset(first, data.validation, data.test.take(slice(0, test)), notes=data.notes)


def grey(split: vj.data.Split) -> np.ndarray:
    """Pixels in [0, 1], in the images' own shape."""
    return split.x / np.float32(255)


def dequantised(split: vj.data.Split, seed: int = 0) -> np.ndarray:
    """(k + u) / levels with u drawn once: what a density can be a density of."""
    return vj.data.dequantize(split.x, levels=17 if split.x.shape[1] == 8 else 256, seed=seed)


def binary(split: vj.data.Split, seed: int = 0) -> np.ndarray:
    """Pixels drawn once, each 1 with its grey value."""
    return (np.random.default_rng(seed).random(split.x.shape) < grey(split)).astype(np.float32)


def rows(data: vj.data.Dataset, form: Callable = grey, kept: np.ndarray | None = None) -> vj.data.Dataset:
    """All parts as rows (N, D) of pixels in this form: all of them, or those that are `kept`."""
    flat = lambda part: form(part).reshape(len(part), -1)[:, slice(None) if kept is None else kept]  # noqa: E731
    return vj.data.Dataset(*(vj.data.Split(flat(part), part.y) for part in data.parts), notes=data.notes)


def trained(
    study: Study,
    data: vj.data.Dataset,
    head: vj.heads.Head,
    seed: int,
    latent_dim: int = 0,
    beta: float = 1.0,
    **options: Any,
) -> tuple[vj.VAE, vj.Fit]:
    """The experiment's fully connected VAE of `rows` with this likelihood, and its fit, which `options` go to."""
    config: Any = study.config
    size, objective = data.train.x.shape[1], None if beta == 1 else vj.objectives.beta(beta)
    how = {"hidden": config.hidden, "likelihood": head, "objective": objective}
    model = vj.zoo.vae(size, latent_dim or config.latent_dim, **how)
    return model, study.fit(model, data, seed=seed, epochs=config.epochs, **options)


def grid(data: vj.data.Dataset, drawn: Sequence[np.ndarray], names: Sequence[str] = ()) -> Figure:
    """Ten images of each set of rows, one set below the other, with their names; grey values from 0 to 1."""
    found = np.concatenate([np.asarray(rows)[:10] for rows in drawn])
    return vj.plots.image_grid(found.reshape(-1, *data.train.x.shape[1:]), limits=(0, 1), row_labels=names)


def take(data: vj.data.Dataset, digit: int) -> vj.data.Dataset:
    """One class of all parts."""
    parts = [None if part is None else part.take(part.y == digit) for part in data.parts]
    return vj.data.Dataset(*parts, notes=data.notes)


def protocol(data: vj.data.Dataset, k: int, *, pixels: str = "grey values k/255 as they are") -> str:
    """What a number means: for the end of a study."""
    size = "x".join(map(str, data.train.x.shape[1:3]))
    sizes = (
        f"{len(data.train)} images to train on, {len(data.validation)} to choose the epoch by, {len(data.test)} to test"
    )
    return f"{size} images, {sizes}; {pixels}; log-likelihoods: IWAE-{k}, nats an image; ±: standard errors over seeds"


def photographs(folder: Path | None, side: int, most: int) -> vj.data.Dataset | None:
    """At most so many images of a folder, else of CelebA as TFDS has prepared it, `side` pixels a side; else `None`.

    A tenth of the images to train on is held out to choose by, and of a folder another tenth to test on.
    """
    if folder is not None:
        whole = vj.data.from_file(folder, side=side, most=most)
        rest, test = vj.data.hold_out(whole.train, 0.1, seed=1)
        notes = whole.notes
    else:
        try:
            rest, test = vj.data.image_dataset("celeb_a", side=side, most=most)
        except (ImportError, FileNotFoundError):
            return None
        notes = (f"CelebA through TFDS, the middle square of each image as {side} x {side}",)
    return vj.data.Dataset(*vj.data.hold_out(rest, 0.1, seed=0), test, notes=notes)
