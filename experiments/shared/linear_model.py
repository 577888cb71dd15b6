"""The linear model with one sigma, pPCA, as what networks are compared with: its best fit is known."""

import functools
import math
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments.harness.study import Study
from experiments.shared import pixels
from experiments.shared.decoders import sigma

__all__ = ["evidence", "gain", "on_all", "ppca", "reference"]

# Latents: noise variance, log-likelihood of a training and of a test image of MNIST, as they are known from elsewhere.
MNIST = {
    2: (0.05610, 12.43, 14.36),
    8: (0.03826, 149.82, 154.10),
    10: (0.03487, 182.15, 186.02),
    20: (0.02460, 299.76, 306.55),
    32: (0.01798, 400.43, 409.41),
    64: (0.01011, 570.25, 579.75),
}


def ppca(train: np.ndarray, latent_dim: int) -> tuple[vj.PPCA, Any]:
    """The model and its parameters of most likelihood of these rows, or images."""
    model = vj.PPCA(math.prod(train.shape[1:]), latent_dim)
    return model, vj.em.ppca_exact(model, train)


def evidence(train: np.ndarray, test: np.ndarray, latent_dim: int) -> float:
    """Mean log-likelihood of test rows, nats."""
    return float(np.mean(vj.evaluate.exact_log_evidence(*ppca(train, latent_dim), test)))


def gain(model: vj.VAE, params: Any, data: vj.data.Dataset, *, k: int) -> dict[str, float]:
    """IWAE of test rows of a network with one learned sigma, and the likelihood with as many latents of pPCA."""
    assert data.test is not None
    estimate = vj.evaluate.log_evidence_estimate(model, params, jax.random.key(5), data.test.x, k=k, progress=False)
    found = {
        "iwae": float(np.mean(estimate.log_evidence)),
        "ppca": evidence(data.train.x, data.test.x, model.latent_dim),
    }
    return found | {"gain": found["iwae"] - found["ppca"], "sigma": sigma(params)}


def on_all(data: vj.data.Dataset, latent_dim: int) -> dict[str, Any]:
    """Noise variance of all images to train on, and mean log-likelihood of these and of all test images, nats."""
    assert data.test is not None
    model, params = ppca(data.train.x, latent_dim)
    rows = {
        name: pixels.grey(part).reshape(len(part), -1) for name, part in (("train", data.train), ("test", data.test))
    }
    scores = {name: np.mean(vj.evaluate.exact_log_evidence(model, params, x)) for name, x in rows.items()}
    return {"variance": np.exp(2 * params["log_scale"])} | scores


def reference(study: Study) -> None:
    """A table: pPCA of all of MNIST beside what is known of it."""
    whole = functools.cache(vj.data.mnist)
    found = study.measure({f"pPCA, M = {m}": lambda m=m: on_all(whole(), m) for m in MNIST})
    rows = []
    for (name, numbers), known in zip(found.items(), MNIST.values(), strict=True):
        digits = {"variance": 5, "train": 2, "test": 2}
        pairs = zip(digits.items(), known, strict=True)
        rows.append((name, *(f"{value:.{d}f}" for (key, d), k in pairs for value in (numbers[key], k))))
    columns = ("closed form", "σ²", "known", "train, nats", "known", "test, nats", "known")
    study.table("All of MNIST", columns, rows)
