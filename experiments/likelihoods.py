"""What `likelihood_table` is made of: the models, their held-out scores, what others report, models in order."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import vaejax as vj
from experiments.grid import Grid

__all__ = ["LITERATURE", "NAMES", "members", "ranked", "scored"]

LITERATURE = (  # minus nats; what others report
    ("VAE, 784-400-z", "89.78", "binarised, 200 draws", "pythae"),
    ("IWAE, k = 5 / 50", "87.85 / 86.82", "binarised, 5000 draws", "pythae"),
    ("VAE, one layer, k = 1 / 50", "87.78 / 87.47", "5000 draws", "xqding/Importance_Weighted_Autoencoders"),
    ("IWAE, one layer, k = 5 / 50", "85.46 / 84.59", "5000 draws", "xqding/Importance_Weighted_Autoencoders"),
    ("IWAE, two layers, k = 50", "83.29", "5000 draws", "xqding/Importance_Weighted_Autoencoders"),
    ("VampPrior, 500 inputs", "85.79", "binarised, 5000 draws", "pythae"),
    ("ladder, 3 / 6 / 12 layers", "79.24 / 78.52 / 78.30", "static, 1000 draws", "addtt/ladder-vae-pytorch"),
)
NAMES = ("VAE", "VAE, IWAE-5 objective", "IAF", "hierarchical", "ladder", "BIVA", "σ-VAE", "VAE, σ(z)")


def members(config: Any, shape: tuple[int, ...]) -> dict[str, tuple[vj.LatentModel, bool]]:
    """The models that `config.models` names, and whether their likelihood is Bernoulli.

    Args:
      config: with `latent_dim`, `hidden`, and `flow` (hidden units of a step of the IAF) of the flat models; `layers`
        (latents) and `units` (hidden) of the hierarchies, top first; BIVA has the last `units` everywhere.
      shape: of one image.
    """
    m, flat = config.latent_dim, {"hidden": config.hidden}
    warm = {"objective": vj.objectives.warm_up(300)}
    deep = {"hidden": config.units} | warm
    models = {
        "VAE": vj.zoo.vae(shape, m, **flat),
        "VAE, IWAE-5 objective": vj.zoo.vae(shape, m, objective=vj.objectives.iwae(5), **flat),
        "IAF": vj.zoo.iaf_vae(shape, m, depth=2, flow_hidden=config.flow, **flat),
        "hierarchical": vj.zoo.hierarchical_vae(shape, config.layers, **deep),
        "ladder": vj.zoo.ladder(shape, config.layers, **deep),
        "BIVA": vj.zoo.biva(shape, config.layers, width=config.units[-1], **warm),
        "NVAE-style": vj.zoo.nvae(shape, channels=16, **warm),
        "σ-VAE": vj.zoo.sigma_vae(shape, m, **flat),
        "VAE, σ(z)": vj.zoo.vae(shape, m, likelihood=vj.heads.normal("per_pixel"), **flat),
    }
    return {name: (models[name], "σ" not in name) for name in config.models}


def scored(model: Any, fit: vj.Fit, test: np.ndarray, seed: int, *, k: int, levels: int) -> dict[str, Any]:
    """Bounds on held-out rows, the error of IWAE-k over them, millions of parameters, seconds of training.

    `levels` are those of dequantised pixels, 1 of binarised ones: bits a dimension are of the former.
    """
    found = vj.evaluate.run(model, fit.best, jax.random.key(seed), test, k=k, levels=levels, progress=False, quick=True)
    return {name: score.value for name, score in found.items()} | {
        "error": found["iwae"].standard_error,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(fit.best)) / 1e6,
        "seconds": fit.history["seconds"].sum(),
    }


def ranked(grid: Grid, order: Sequence[str], numbers: Mapping[str, str]) -> tuple[Figure, dict[str, Any]]:
    """Lines `{label: number}` over named variants in this order, and the series that are drawn."""
    places = {name: i for i, name in enumerate(order)}
    series = {label: grid.line(places, number) for label, number in numbers.items()}
    figure = vj.plots.lines(series, x_label="", y_label="nats an image")
    figure.axes[0].set_xticks(range(len(order)), order, rotation=20, ha="right", fontsize=8)
    return figure, series
