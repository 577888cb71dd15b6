"""The linear model with one sigma, pPCA, as what networks are compared with: its best fit is known."""

import functools
import math
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments import images
from experiments.decoders import sigma
from experiments.study import Study

__all__ = ["evidence", "gain", "on_all", "ppca", "reference"]

# Latents: noise variance, and log-likelihood of a test image, of all of MNIST, as they are known from elsewhere.
MNIST = {2: (0.05610, 14.36), 8: (0.03826, 154.10), 10: (0.03487, 186.02), 20: (0.02460, 306.55), 32: (0.01798, 409.41)}


def ppca(train: np.ndarray, latent_dim: int) -> tuple[vj.PPCA, Any]:
    """The model and its parameters of most likelihood of these rows, or images."""
    model = vj.PPCA(math.prod(train.shape[1:]), latent_dim)
    return model, vj.em.ppca_exact(model, train)


def evidence(train: np.ndarray, test: np.ndarray, latent_dim: int) -> float:
    """Mean log-likelihood of test rows, nats."""
    return float(np.mean(vj.log_evidences(*ppca(train, latent_dim), test)))


def gain(model: vj.VAE, params: Any, data: vj.data.Dataset, *, k: int) -> dict[str, float]:
    """IWAE of test rows of a network with one learned sigma, and the likelihood with as many latents of pPCA."""
    assert data.test is not None
    bounds = vj.importance_bounds(model, params, jax.random.key(5), data.test.x, k=k)
    found = {"iwae": float(np.mean(bounds)), "ppca": evidence(data.train.x, data.test.x, model.latent_dim)}
    return found | {"gain": found["iwae"] - found["ppca"], "sigma": sigma(params)}


def on_all(data: vj.data.Dataset, latent_dim: int) -> dict[str, Any]:
    """Noise variance of all images to train on, and mean log-likelihood of all test images, nats."""
    assert data.test is not None
    model, params = ppca(data.train.x, latent_dim)
    test = images.grey(data.test).reshape(len(data.test), -1)
    return {"variance": np.exp(2 * params["log_scale"]), "test": np.mean(vj.log_evidences(model, params, test))}


def reference(study: Study) -> None:
    """A table: pPCA of all of MNIST beside what is known of it."""
    whole = functools.cache(vj.data.mnist)
    found = study.measure({f"pPCA, M = {m}": lambda m=m: on_all(whole(), m) for m in MNIST})
    pairs = zip(found.items(), MNIST.values(), strict=True)
    rows = [(n, f"{f['variance']:.5f}", f"{v:.5f}", f"{f['test']:.2f}", f"{t:.2f}") for (n, f), (v, t) in pairs]
    study.table("All of MNIST", ("closed form", "σ²", "reference", "test, nats", "reference"), rows)
