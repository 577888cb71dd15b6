"""Are VAE codes better than PCA, k-means or a mixture for clusters, labels and storage?

What are codes good for? VAE codes beside pixels, PCA, k-means and a mixture: clusters, probes, compression.

Prediction: Probes: pixels, then VAE, then PCA of as many numbers. NMI of clusters: about 0.5 for pixels, a little
more for the VAE. sigma = 1 costs probes and squared error; the autoencoder has the least error.
"""

import dataclasses
import functools

import numpy as np

import vaejax as vj
from experiments.harness.study import Study
from experiments.images.coders import NAMES, clusters, code, probes
from experiments.shared import pixels

ORDER = 60

COLUMNS = {
    "NMI, k-means": ("kmeans", 3),
    "NMI, GMM": ("gmm", 3),
    "linear probe": ("linear", 3),
    "5-NN probe": ("knn", 3),
}
COLUMNS |= {"RMSE": ("rmse", 4), "bits": ("bits", 0), "ratio": ("ratio", 1), "KL, bits": ("kl_bits", 1)}


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    part: int = 10_000
    """Training images that probes, k-means and the mixture are fitted to."""
    test: int = 5_000
    """Test images that are clustered and classified."""
    codes: tuple[str, ...] = NAMES

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), part=400, test=300, codes=NAMES[:4] + NAMES[-1:])


def main(config: Config) -> dict:
    study = Study(__name__, config)
    raw = pixels.load(config.data, test=config.test)
    data = pixels.rows(raw)
    few, test = data.train.take(slice(0, config.part)), data.test
    made = functools.partial(code, study, config, data, few)

    def cell(name: str, seed: int) -> dict:
        found = made(name, seed)
        numbers = probes(found, few.y, test) | clusters(name, found.test, test.y, seed)
        return numbers | {"ratio": made("pixels", 0).bits / found.bits}

    grid, m = study.grid(cell, {name: (name,) for name in config.codes}), config.latent_dim
    study.compare(f"Codes of {m} numbers, or of 10 classes", grid, config.codes, COLUMNS, first="code")
    first = np.array([np.argmax(test.y == digit) for digit in range(10)])
    rows = {name: made(name, 0).decoded[first].reshape(10, *raw.test.x.shape[1:3]) for name in config.codes}
    caption = f"Ten test images, and what is left of them in one of ten classes or in {m} numbers."
    claim = "Beaulac, section 3.2.1: codes of less dimension, from which the image comes back."
    study.figure("decoded", vj.plots.panels(rows, columns=1), caption=caption, claim=claim)

    def said(number: str) -> str:
        short = {name: grid.mean(name, number) for name in config.codes[1:]}
        best = max(short, key=lambda name: np.nan_to_num(short[name]))
        three = [f"{name} {grid.say(name, number, 3)}" for name in ("VAE, σ shared", "PCA", "pixels")]
        return f"{', '.join(three)}, best code {best} {grid.say(best, number, 3)}"

    error = ", ".join(f"{name} {grid.say(name, 'rmse', 4)}" for name in config.codes[3:])
    return study.finish(
        f"The best code is the best of all but the pixels themselves. NMI of k-means clusters with the digits: "
        f"{said('kmeans')}. Linear probes: {said('linear')}. 5-NN probes: {said('knn')}. RMSE of {m} numbers, "
        f"{grid.mean('PCA', 'ratio'):.1f} times fewer bits than the pixels: {error}. KL of the VAE, σ shared: "
        f"{grid.say('VAE, σ shared', 'kl_bits', 1)} bits an image.",
        protocol=f"{pixels.protocol(raw, 1)}; codes: means of q; probes fitted to {len(few)} training images; "
        "10 clusters of the codes of the test images (k-means and GMM: of pixels, fitted to those training images)",
    )
