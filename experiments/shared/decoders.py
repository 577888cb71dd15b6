"""Decoders of images by the names that tables have for them, and their fits."""

from typing import Any

import numpy as np

import vaejax as vj
from experiments.harness.study import Study
from experiments.shared import pixels

__all__ = ["GAUSSIAN", "HEADS", "fitted", "sigma"]

NORMAL = vj.heads.normal
GAUSSIAN = {
    "σ = 1": NORMAL(1.0),
    "σ = 1/2": NORMAL(0.5),
    "σ = 0.1": NORMAL(0.1),
    "σ shared": NORMAL("shared"),
    "σ* optimal": NORMAL("optimal"),
    "σ a pixel": NORMAL("per_pixel_constant"),
    "σ(z), floor 0.001": NORMAL("per_pixel"),
    "σ(z), no floor": NORMAL("per_pixel", floor=0.0),
}
HEADS = GAUSSIAN | {
    "σ(z)": NORMAL("per_pixel"),
    "Bernoulli": vj.heads.bernoulli(),
    "continuous Bernoulli": vj.heads.continuous_bernoulli(),
}


def fitted(study: Study, data: vj.data.Dataset, name: str, latent_dim: int, seed: int) -> tuple[vj.VAE, Any]:
    """The model with this head and so many latents, and its best parameters; Bernoulli: pixels are drawn each epoch."""
    if name == "σ* optimal":
        config: Any = study.config
        model = vj.zoo.sigma_vae(data.train.x.shape[1], latent_dim, hidden=config.hidden)
        return model, study.fit(model, data, seed=seed, epochs=config.epochs).best
    how = {"transform": vj.transforms.binarize} if name == "Bernoulli" else {}
    model, fit = pixels.trained(study, data, HEADS[name], seed, latent_dim, **how)
    return model, fit.best


def sigma(params: Any) -> float:
    """The one learned standard deviation."""
    return float(np.exp(params["likelihood"]["log_scale"]))
