"""Held-out log-likelihoods of every member of the zoo on the embedded digits: `python -m experiments.tables.zoo_table`.

Two tables that cannot be compared: probabilities of binarised pixels, each 1 with its grey value (in training anew
in each step, the test part once, seed 0), and densities of dequantised ones (the test part once, seed 2, as in the
demo). Training stops where the validation part has not improved for `patience` epochs; the best parameters are
scored. Nothing is tuned: small networks, one learning rate, so that the tables compare forms, not effort.

Each fit is kept in `metrics.json` once it is scored, and has checkpoints until then: the same command goes on where
it was stopped, and does not repeat what has the same settings. An autoencoder has no density and is missing.
"""

import dataclasses
import functools
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import tyro

import vaejax as vj
from experiments.tables.climb import FLOOR, held_out
from vaejax import recipes
from vaejax.plots.page import Page

SHAPE, M, BATCH = (8, 8, 1), 8, 100
DEEP = (4, 8, 16)
KINDS = {"binary": "Binarised pixels: log-probability", "grey": "Dequantised pixels: log-density"}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the tables."""

    epochs: int = 300
    """Epochs at most."""
    patience: int = 40
    """Epochs without a better validation."""
    k: int = 500
    """Draws a test image."""
    seeds: int = 1
    """Fits of each model, with the keys 0, 1, ..."""
    test: int = 397
    """Test images."""
    only: tuple[str, ...] = ()
    """Names of the models to fit; all unless told otherwise. The tables show whatever is finished."""
    out: Path = Path("results/zoo_table")
    """Folder of the page, the metrics and the checkpoints."""


def binary_members() -> dict[str, vj.LatentModel]:
    small = {"hidden": (256,)}
    warm = {"objective": vj.objectives.warm_up(1000)}
    return {
        "VAE": vj.zoo.vae(SHAPE, M, **small),
        "VAE, IWAE-10 objective": vj.zoo.vae(SHAPE, M, objective=vj.objectives.iwae(10), **small),
        "beta-VAE, beta = 4": vj.zoo.beta_vae(SHAPE, M, **small),
        "full covariance q": vj.zoo.vae(SHAPE, M, posterior="full", **small),
        "planar flow, 8 steps": vj.zoo.planar_vae(SHAPE, M, **small),
        "linear IAF": vj.zoo.linear_iaf_vae(SHAPE, M, **small),
        "IAF, 4 steps": vj.zoo.iaf_vae(SHAPE, M, depth=4, flow_hidden=64, **small),
        "mixture prior": vj.zoo.vae(SHAPE, M, prior=vj.priors.mixture(20), **small),
        "VampPrior": vj.zoo.vae(SHAPE, M, prior=vj.priors.vamp(50), **small),
        "autoregressive prior": vj.zoo.vae(SHAPE, M, prior=vj.priors.autoregressive(3, 64), **small),
        "coupling prior": vj.zoo.vae(SHAPE, M, prior=vj.priors.coupling(4, 64), **small),
        "conditional VAE": vj.zoo.conditional_vae(SHAPE, M, 10, **small),
        "convolutional VAE": vj.zoo.conv_vae(SHAPE, M, channels=(16, 32)),
        "hierarchical VAE": vj.zoo.hierarchical_vae(SHAPE, DEEP, hidden=(64, 128, 256), **warm),
        "ladder": vj.zoo.ladder(SHAPE, DEEP, hidden=(64, 128, 256), **warm),
        "BIVA": vj.zoo.biva(SHAPE, DEEP, width=128, **warm),
        "NVAE-style": vj.zoo.nvae(SHAPE, groups=1, channels=8, latent_channels=4, **warm),
    }


def grey_members() -> dict[str, vj.LatentModel]:
    vae = functools.partial(vj.zoo.vae, SHAPE, M, hidden=(256,))
    return {
        "linear VAE": vj.zoo.linear_vae(SHAPE, M),
        "VAE, one sigma": vae(likelihood=vj.heads.normal("shared")),
        "sigma-VAE": vj.zoo.sigma_vae(SHAPE, M, hidden=(256,)),
        "conditional sigma-VAE": vj.zoo.sigma_vae(SHAPE, M, hidden=(256,), context_dim=10),
        "full covariance q, one sigma": vj.zoo.full_covariance_vae(SHAPE, M, hidden=(256,)),
        "two-stage": vj.zoo.two_stage(SHAPE, M, hidden=(256,)),
        "sigma per pixel": vae(likelihood=vj.heads.normal("per_pixel_constant", floor=FLOOR)),
        "sigma(z) per pixel": vae(likelihood=vj.heads.normal("per_pixel", floor=FLOOR)),
        "low-rank noise, rank 4": vae(likelihood=vj.heads.low_rank_normal(4, floor=FLOOR)),
        "continuous Bernoulli": vae(likelihood=vj.heads.continuous_bernoulli()),
    }


def members() -> dict[str, tuple[str, vj.LatentModel]]:
    """Name of each model, and with it the kind of its pixels."""
    binary, grey = ((kind, each()) for kind, each in (("binary", binary_members), ("grey", grey_members)))
    return {name: (kind, model) for kind, models in (binary, grey) for name, model in models.items()}


@functools.cache
def optimizer(rate: float) -> optax.GradientTransformation:
    return optax.adam(rate)


def settings(config: Config, kind: str, model: vj.LatentModel, rate: float) -> dict[str, Any]:
    """All that a result depends on but its seed: of the fit, and of the score."""
    fit = {"pixels": kind, "epochs": config.epochs, "patience": config.patience, "rate": rate, "batch": BATCH}
    score = {"k": config.k, "test": config.test}
    return {"fit": fit | {"model": json.loads(recipes.to_json(model))}, "score": score}


def scored(config: Config, kind: str, model: vj.LatentModel, rate: float, seed: int, folder: Path) -> dict[str, Any]:
    """One fit and its score."""
    data, key, start = vj.data.digits(), jax.random.key(seed), time.perf_counter()
    if kind == "binary":
        drawn = np.random.default_rng(0).random(data.test.x.shape) * 255 < data.test.x
        transform, test = vj.transforms.binarize, drawn.astype(np.float32)
    else:
        transform, test = vj.transforms.dequantize(17), vj.data.dequantize(data.test.x, levels=17, seed=2)
    fit = vj.fit(
        model,
        key,
        data,
        epochs=config.epochs,
        batch_size=BATCH,
        optimizer=optimizer(rate),
        transform=transform,
        context="labels" if model.context_dim else None,
        patience=config.patience,
        checkpoint=folder,
    )
    each = np.asarray(held_out(model, fit.best, key, test[: config.test], config.k), np.float64)
    value = fit.history["validation_value"]
    return {
        "iwae": each.mean(),
        "standard_error": each.std(ddof=1) / len(each) ** 0.5,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(fit.params)),
        "epochs": len(value),
        "best_epoch": int(value.argmax()) + 1,
        "seconds": time.perf_counter() - start,
    }


def write(path: Path, metrics: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(metrics, indent=1) + "\n")
    temporary.replace(path)


def row(name: str, fits: list[dict[str, Any]]) -> tuple[str, ...]:
    values, last = [fit["iwae"] for fit in fits], fits[-1]
    spread = f"{min(values):.2f} to {max(values):.2f}" if len(values) > 1 else ""
    mean = f"{np.mean(values):.2f} ± {np.mean([fit['standard_error'] for fit in fits]):.2f}"
    epochs = ", ".join(f"{fit['best_epoch']}/{fit['epochs']}" for fit in fits)
    return name, mean, spread, f"{last['parameters']:,}", epochs, f"{np.mean([fit['seconds'] for fit in fits]):.0f}"


def main(config: Config) -> dict[str, Any]:
    models, path = members(), config.out / "metrics.json"
    if unknown := set(config.only) - set(models):
        raise ValueError(f"only: expected names among {', '.join(models)}, got {', '.join(sorted(unknown))}")
    metrics = json.loads(path.read_text()) if path.exists() else {}
    page, rows = Page("The zoo on the digits"), {kind: [] for kind in KINDS}
    for name, (kind, model) in models.items():
        rate = 1e-2 if name == "linear VAE" else 1e-3
        told = settings(config, kind, model, rate)
        before = metrics.get(name, {"settings": None})
        fits = before["fits"] if before["settings"] == told else {}
        digest = hashlib.sha256(json.dumps(told["fit"]).encode()).hexdigest()[:12]
        for seed in range(config.seeds if not config.only or name in config.only else 0):
            if str(seed) not in fits:
                fits[str(seed)] = scored(config, kind, model, rate, seed, config.out / "runs" / f"{digest}-{seed}")
                metrics[name] = {"settings": told, "fits": fits}
                write(path, metrics)
                page.console.print(*row(name, [fits[str(seed)]]))
        if fits:
            rows[kind].append(row(name, list(fits.values())))
    for kind, title in KINDS.items():
        page.heading(f"{title}, IWAE-{config.k}, nats")
        columns = "model", "mean ± error over images", "seeds", "parameters", "best epoch/epochs", "s"
        page.table(columns, rows[kind])
    page.write(config.out / "index.html")
    return metrics


if __name__ == "__main__":
    main(tyro.cli(Config))
