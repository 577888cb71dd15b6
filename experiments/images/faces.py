"""What do the number of latents and beta do to reconstructions, samples and single latents?

Faces: what latents and beta do to samples, reconstructions and traversals; `--folder` takes any images. Without a
folder CelebA is read through TFDS; where it is not there either, sprites and handwritten digits stand in.

Prediction: More latents: better reconstructions up to some tens of active units, and samples that are no better.
Larger beta: worse reconstructions, fewer active units, and an aggregate posterior nearer to the prior.
"""

import dataclasses
from pathlib import Path

from experiments.harness.study import Base, Study
from experiments.images.portraits import Portraits, draw_images, draw_lines, label, protocol, what_latents_do

ORDER = 100

BOUND = {"ELBO": ("elbo", 1), "-E log p(x|z)": ("distortion", 1), "KL": ("kl", 1), "RMSE": ("rmse", 4)}
OTHERS = {"active": ("active", 1), "Fréchet": ("frechet", 2), "recall": ("recall", 2), "KL q(z)": ("aggregate_kl", 2)}
COLUMNS = BOUND | OTHERS | {"largest |r|": ("largest_correlation", 2)}


@dataclasses.dataclass(frozen=True)
class Config(Base):
    folder: Path | None = None
    """Images of any kind and size: their middle squares are trained on."""
    celeba: bool = True
    """Look for CelebA where there is no folder."""
    side: int = 64
    """Pixels a side of photographs; sprites have half as many."""
    train: int = 5000
    """Images to train on, of each data set."""
    rows: int = 1000
    """Test images at most."""
    epochs: int = 12
    latents: tuple[int, ...] = (2, 10, 128, 256)
    """Numbers of latents n, at beta = 1; the second one is taken for the sweep of beta."""
    betas: tuple[float, ...] = (0.1, 1.0, 2.0, 4.0)
    warm_up: int = 100
    """Steps in which the weight of the divergence rises."""
    channels: tuple[int, ...] = (16, 32, 64, 128)
    """Of the convolutional networks of photographs."""
    hidden: tuple[int, ...] = (256, 256)
    """Of the fully connected networks of what stands in for them."""

    @classmethod
    def smoke(cls) -> "Config":
        small = {"side": 16, "train": 300, "rows": 300, "epochs": 2, "hidden": (16,), "channels": (4, 8)}
        return cls.small(celeba=False, latents=(2, 4), betas=(1.0,), **small)

    @classmethod
    def full(cls) -> "Config":
        wide = {"channels": (32, 64, 128, 256), "hidden": (512, 512)}
        return cls(size="full", seeds=3, train=150_000, epochs=20, warm_up=10_000, **wide)


def main(config: Config) -> dict:
    study = Study(__name__, config)
    portraits = Portraits(study, config)
    n, betas, said = config.latents[1], (min(config.betas), max(config.betas)), []
    ways = [(each, 1.0) for each in config.latents] + [(n, beta) for beta in config.betas]
    grid = study.grid(portraits.numbers, {label(name, *way): (name, *way) for name in portraits.given for way in ways})
    for name in portraits.given:
        study.compare(name, grid, {label("", *way): label(name, *way) for way in ways}, COLUMNS, first="setting")
        draw_lines(study, grid, name, config.latents)
        draw_images(study, portraits, name)
        said.append(what_latents_do(grid, name, config.latents, betas))
    rule = f"Active: posterior means of variance above 0.01, which says little after {config.epochs} epochs."
    return study.finish(f"{portraits.about}{' '.join(said)} {rule}", protocol=protocol(portraits))
