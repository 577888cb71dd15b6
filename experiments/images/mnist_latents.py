"""What do the number of latents and the number of draws do to a VAE of MNIST?

Prediction: With n the reconstructions improve and the samples worsen, since the latents correlate in the aggregate
posterior; of 32 latents about 15 to 20 stay active. The variance of the ELBO's estimate falls as 1/L, but most of the
gradient's comes from the choice of the batch, so that L = 1 will do.
"""

import dataclasses

from experiments.harness.study import Study
from experiments.images.spaces import Spaces, draw_images, draw_lines, noise_found, others, spaces_found
from experiments.shared import pixels

ORDER = 90

LIKELIHOOD = {"IWAE": ("iwae", 1), "ELBO": ("elbo", 1), "E log p(x|z)": ("log_likelihood", 1), "KL": ("kl", 1)}
USED = {"active": ("active", 1), "RMSE": ("reconstruction_rmse", 3)}
SAMPLES = {"Fréchet": ("mean_frechet", 1), "entropy": ("mean_entropy", 2)}
CODES = {"KL q(z)": ("aggregate_kl", 2), "largest |r|": ("largest_correlation", 2)}


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    train: int = 20_000
    """Images to train on; 0 for all."""
    epochs: int = 10
    latents: tuple[int, ...] = (2, 8, 32)
    """Numbers of latents; the second one is drawn."""
    hidden: tuple[int, ...] = (512, 256, 128, 64)
    channels: tuple[int, ...] = (32, 64, 128, 256)
    conv_train: int = 5000
    """Images that the convolutional model is trained on."""
    conv_epochs: int = 5
    k: int = 200
    draws: tuple[int, ...] = (1, 2, 4, 8, 16)
    """L, draws of z for each image of the ELBO's estimate."""
    pairs: int = 16
    """Pairs of estimates that a variance is taken from."""

    @classmethod
    def smoke(cls) -> "Config":
        small = {"hidden": (32, 16), "channels": (4,), "latents": (2, 4), "draws": (1, 4), "pairs": 2}
        return cls.small(data="digits", epochs=2, conv_epochs=2, k=20, **small)

    @classmethod
    def full(cls) -> "Config":
        whole = {"train": 0, "conv_train": 0, "latents": (2, 8, 32, 64)}
        return cls(size="full", seeds=5, epochs=30, conv_epochs=20, k=1000, **whole)


def main(config: Config) -> dict:
    study = Study(__name__, config)
    spaces = Spaces(study, config)
    over, draws = {f"n = {n}": n for n in config.latents}, {f"L = {n}": n for n in config.draws}
    grid = study.grid(spaces.numbers, {name: (n,) for name, n in over.items()})
    noise = study.grid(spaces.spread, {name: (n,) for name, n in draws.items()})
    named = {str(n): name for name, n in over.items()}
    study.compare("Fully connected VAEs of n latents", grid, named, LIKELIHOOD | USED | SAMPLES | CODES, first="n")
    one = others(study, spaces)
    draw_lines(study, grid, noise, over, draws)
    draw_images(study, spaces)
    return study.finish(
        f"{spaces_found(grid, over)} {noise_found(noise, draws)} The σ-VAE's q(z) in the plane is "
        f"{one['sigma-VAE']['aggregate_kl']:.2f} nats from the prior.",
        protocol=pixels.protocol(spaces.data, config.k, pixels="binarised in each step, the test images once (seed 0)")
        + f"; {config.epochs} epochs; RMSE against binarised pixels; Fréchet distance and entropy of means of samples "
        f"in the features of {spaces.judge.name}, against grey test images; q(z) of at most 1000 test images; σ-VAE: "
        f"grey values; convolutional: {len(spaces.few.train)} images, {config.conv_epochs} epochs, one seed",
    )
