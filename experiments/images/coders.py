"""Ways to put an image into a few numbers: PCA, k-means, a mixture, an autoencoder, VAEs."""

import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np

import vaejax as vj
from experiments.harness.study import Study

__all__ = ["NAMES", "Coded", "clusters", "code", "probes"]

NETS = {"autoencoder": None, "VAE, σ = 1": 1.0, "VAE, σ shared": "shared"}
NAMES = ("pixels", "k-means", "GMM", "PCA", *NETS)


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
