"""Are VAE codes better than PCA, k-means or a mixture for clusters, labels and storage?

What are codes good for? VAE codes beside pixels, PCA, k-means and a mixture: clusters, probes, compression.

Prediction: Probes: pixels, then VAE, then PCA of as many numbers. NMI of clusters: about 0.5 for pixels, a little
more for the VAE. sigma = 1 costs probes and squared error; the autoencoder has the least error.
"""

import dataclasses
import functools
import math

import jax
import numpy as np

import vaejax as vj
from experiments import images
from experiments.coders import NAMES, code
from experiments.study import Study

NUMBERS = {"kmeans": 3, "gmm": 3, "linear": 3, "knn": 3, "rmse": 4, "bits": 0, "ratio": 1, "kl_bits": 1}
COLUMNS = ("code", "NMI, k-means", "NMI, GMM", "linear probe", "5-NN probe", "RMSE", "bits", "ratio", "KL, bits")


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
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
    raw = images.load(config.data, test=config.test)
    data = images.rows(raw)
    few, test = data.train.take(slice(0, config.part)), data.test
    made = functools.partial(code, study, config, data, few)

    def cell(name: str, seed: int) -> dict:
        found = made(name, seed)
        sets = found.train, few.y, found.test, test.y
        numbers = {"linear": vj.evaluate.linear_probe(*sets), "knn": vj.evaluate.knn_probe(*sets), "bits": found.bits}
        numbers["rmse"] = np.sqrt(np.mean((found.decoded - test.x) ** 2))
        numbers["kl_bits"] = np.nan if found.kl is None else found.kl / math.log(2)
        if name in ("k-means", "GMM"):
            own = {name.replace("-", "").lower(): found.test.argmax(1)}
        else:  # a mixture with full covariances needs codes that are short
            methods = ("kmeans",) if name == "pixels" else ("kmeans", "gmm")
            own = {
                h: vj.evaluate.cluster(jax.random.key(seed), found.test, 10, method=h, num_restarts=3) for h in methods
            }
        numbers |= {how: vj.evaluate.nmi(labels, test.y) for how, labels in own.items()}
        return numbers | {"ratio": made("pixels", 0).bits / found.bits}

    grid, m = study.grid(cell, {name: (name,) for name in config.codes}), config.latent_dim
    study.table(
        f"Codes of {m} numbers, or of 10 classes", COLUMNS, grid.rows({name: name for name in config.codes}, NUMBERS)
    )
    first = np.array([np.argmax(test.y == digit) for digit in range(10)])
    rows = {name: made(name, 0).decoded[first].reshape(10, *raw.test.x.shape[1:3]) for name in config.codes}
    caption = f"Ten test images, and what is left of them in one of ten classes or in {m} numbers."
    claim = "Beaulac, section 3.2.1: codes of less dimension, from which the image comes back."
    study.figure("decoded", vj.plots.panels(rows, columns=1), caption=caption, claim=claim)

    def said(number: str) -> str:
        short = {name: grid.mean(name, number) for name in config.codes[1:]}
        best = max(short, key=lambda name: np.nan_to_num(short[name]))
        return (
            ", ".join(f"{n} {grid.say(n, number, 3)}" for n in ("VAE, σ shared", "PCA", "pixels")) + f"; best: {best}"
        )

    error = ", ".join(f"{name} {grid.say(name, 'rmse', 4)}" for name in config.codes[3:])
    return study.finish(
        f"NMI of k-means clusters with the digits: {said('kmeans')} (best without pixels). Linear probes: "
        f"{said('linear')}. 5-NN probes: {said('knn')}. RMSE of {m} numbers, {grid.mean('PCA', 'ratio'):.1f} times "
        f"fewer bits than the pixels: {error}. Bits of KL, σ shared: {grid.say('VAE, σ shared', 'kl_bits', 1)}.",
        protocol=f"{images.protocol(raw, 1)}; codes: means of q; probes fitted to {len(few)} training images; "
        "10 clusters of the codes of the test images (k-means and GMM: of pixels, fitted to those training images)",
    )
