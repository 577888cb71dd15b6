"""Are VAE codes better than PCA, k-means or a mixture for clusters, labels and storage?

What are codes good for? VAE codes beside pixels, PCA, k-means and a mixture: clusters, probes, compression.

Prediction: Probes: pixels, then VAE, then PCA of as many numbers. NMI of clusters: about 0.5 for pixels, a little
more for the VAE. sigma = 1 costs probes and squared error; the autoencoder has the least error.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np

import vaejax as vj
from experiments.harness.study import Study
from experiments.shared import pixels

ORDER = 60

COLUMNS = {
    "NMI, k-means": ("kmeans", 3),
    "NMI, GMM": ("gmm", 3),
    "linear probe": ("linear", 3),
    "5-NN probe": ("knn", 3),
}
COLUMNS |= {"RMSE": ("rmse", 4), "bits": ("bits", 0), "ratio": ("ratio", 1), "KL, bits": ("kl_bits", 1)}
NETS = {"autoencoder": None, "VAE, σ = 1": 1.0, "VAE, σ shared": "shared"}
NAMES = ("pixels", "k-means", "GMM", "PCA", *NETS)


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


class Coded(NamedTuple):
    """What a code makes of some training rows and of the test rows.

    Attributes:
      train: codes of the training rows.
      test: codes of the test rows.
      decoded: the test rows that the codes say.
      bits: of a stored code; numbers take 32.
      kl: mean divergence of a VAE, nats.
    """

    train: np.ndarray
    test: np.ndarray
    decoded: np.ndarray
    bits: float
    kl: float | None = None


def code(study: Study, config: Any, data: vj.data.Dataset, few: vj.data.Split, name: str, seed: int) -> Coded:
    """Codes of `few` training rows, to which k-means and the mixture are fitted, and of all test rows."""
    assert data.test is not None
    test, dim, m, key = data.test.x, data.train.x.shape[1], config.latent_dim, jax.random.key(seed)
    if name == "pixels":
        return Coded(few.x, test, test, dim * math.log2(17 if config.data == "digits" else 256))
    if name == "PCA":
        params = {part: np.asarray(leaf) for part, leaf in vj.em.ppca_exact(vj.PPCA(dim, m), data.train.x).items()}
        axes = np.linalg.qr(params["weight"])[0]
        train, held = ((x - params["mean"]) @ axes for x in (few.x, test))
        return Coded(train, held, held @ axes.T + params["mean"], 32 * m)
    if name == "GMM":
        model, how = vj.GMM(10, dim, "diag"), {"num_restarts": 3, "tol": 1e-4, "variance_floor": 1e-3}
        params, _ = vj.em.fit(model, key, few.x, num_steps=100, progress=False, **how)
        train, held = (np.asarray(vj.evaluate.responsibilities(model, params, x)) for x in (few.x, test))
        return Coded(train, held, np.asarray(params["means"])[held.argmax(1)], math.log2(10))
    if name == "k-means":
        found = vj.evaluate.codes.cluster(key, few.x, 10, num_restarts=3)
        means = np.stack([few.x[found == k].mean(0) for k in range(10)])
        train, held = (np.eye(10)[np.argmin((means**2).sum(1) - 2 * x @ means.T, 1)] for x in (few.x, test))
        return Coded(train, held, held @ means, math.log2(10))
    options = {"hidden": config.hidden} | ({"likelihood": vj.heads.normal(NETS[name])} if NETS[name] else {})
    model = (vj.zoo.vae if NETS[name] else vj.zoo.autoencoder)(dim, m, **options)
    params = study.fit(model, data, seed=seed, epochs=config.epochs).best
    train, held = (vj.evaluate.encode_rows(model, params, key, x, temperature=0.0) for x in (few.x, test))
    kl = vj.evaluate.run(model, params, key, test, k=1, quick=True)["kl"].value if NETS[name] else None
    decoded = np.asarray(jax.vmap(lambda z: vj.decode(model, params, z))(held))
    return Coded(train, held, decoded, 32 * m, kl)


def probes(found: Coded, known: np.ndarray, test: vj.data.Split) -> dict[str, float]:
    """What can be told from codes, and what they cost; `known` are the labels of the training rows."""
    sets = found.train, known, found.test, test.y
    return {
        "linear": vj.evaluate.codes.linear_probe(*sets),
        "knn": vj.evaluate.codes.knn_probe(*sets),
        "bits": found.bits,
        "rmse": np.sqrt(np.mean((found.decoded - test.x) ** 2)),
        "kl_bits": np.nan if found.kl is None else found.kl / math.log(2),
    }


def clusters(name: str, codes: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, float]:
    """NMI with the labels of ten clusters of the codes, by k-means and by a mixture; k-means' and the GMM's own."""
    if name in ("k-means", "GMM"):
        return {name.replace("-", "").lower(): vj.evaluate.codes.nmi(codes.argmax(1), labels)}
    methods = ("kmeans",) if name == "pixels" else ("kmeans", "gmm")  # full covariances need codes that are short
    cut = functools.partial(vj.evaluate.codes.cluster, jax.random.key(seed), codes, 10, num_restarts=3)
    return {method: vj.evaluate.codes.nmi(cut(method=method), labels) for method in methods}


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
