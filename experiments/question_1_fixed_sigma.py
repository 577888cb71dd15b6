"""Does fixing the decoder's sigma make a more useful model, and why?

Decoders with sigma fixed, shared and learned, optimal, one a pixel, or sigma(z), with all pixels and without those of
variance below 0.01 (340 on MNIST): held-out likelihood, active units, how good means of samples are, the least sigma.

Prediction: sigma = 1: test log-likelihood -735 to -743. Shared and optimal sigma: above 154 (pPCA, M = 8), and the
best means. sigma(z): the highest likelihood, from background pixels, and unstable.
"""

import dataclasses
import functools

import numpy as np

import vaejax as vj
from experiments import images
from experiments.decoders import GAUSSIAN
from experiments.noise import both
from experiments.scores import scores
from experiments.study import Study, judge

PARTS = {"IWAE, nats": ("iwae", 1), "RMSE": ("reconstruction_rmse", 3), "active": ("active", 1)}
PARTS |= {"least σ": ("least_sigma", 4)}
LOOKS = {"Fréchet of means": ("mean_frechet", 1), "their entropy": ("mean_entropy", 2)}


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    decoders: tuple[str, ...] = tuple(GAUSSIAN)

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), decoders=("σ = 1", "σ shared", "σ(z), floor 0.001"))


def main(config: Config) -> dict:
    study = Study(__name__, config)
    data = images.load(config.data)
    wide = np.var(images.grey(data.train), axis=0).ravel() >= 0.01
    forms = {
        "": images.rows(data),
        ", wide": images.rows(data, kept=wide),
        ", dequantised": images.rows(data, images.dequantised),
    }
    names = {name: (name, "") for name in config.decoders}
    names |= {"σ(z), dequantised": ("σ(z), floor 0.001", ", dequantised")}
    again = {f"{name}, wide": (name, ", wide") for name in ("σ = 1", "σ shared", "σ(z), floor 0.001")}

    def fitted(name: str, form: str, seed: int) -> tuple:
        zoo = vj.zoo.sigma_vae if "*" in name else functools.partial(vj.zoo.vae, likelihood=GAUSSIAN[name])
        model = zoo(forms[form].train.x.shape[1], config.latent_dim, hidden=config.hidden)
        return model, study.fit(model, forms[form], seed=seed, epochs=config.epochs).best

    def cell(name: str, form: str, seed: int) -> dict:
        judged = None if form == ", wide" else judge(config, data)
        return scores(*fitted(name, form, seed), forms[form].test.x, k=config.k, judge=judged)

    grid = study.grid(cell, names | again)
    study.compare("All pixels", grid, list(names), PARTS | LOOKS, first="decoder")
    title = f"The {wide.sum()} pixels of variance 0.01 and more"
    study.compare(title, grid, list(again), PARTS, first="decoder")
    for i, name in enumerate(config.decoders):
        drawn = np.concatenate(both(*fitted(name, "", 0))).reshape(-1, *data.train.x.shape[1:])
        picture = vj.plots.image_grid(drawn, limits=(0, 1), title=name)
        study.figure(f"samples_{i}", picture, caption=f"{name}: above means of samples, below draws with their noise.")
    best = max(config.decoders, key=lambda name: grid.mean(name, "iwae"))
    look = min(config.decoders, key=lambda name: grid.mean(name, "mean_frechet"))
    gain, left = (
        grid.mean(f"σ(z), floor 0.001{f}", "iwae") - grid.mean(f"σ shared{f}", "iwae") for f in ("", ", wide")
    )
    said = {name: grid.say(name, "iwae", 1) for name in config.decoders}
    return study.finish(
        f"Not by likelihood: σ = 1 has {said['σ = 1']} nats, one learned σ {said['σ shared']}, and the most has {best} "
        f"({said[best]}). Of the {gain:.0f} nats that σ(z) gains over one σ, {left:.0f} are there without the "
        f"{(~wide).sum()} pixels of low variance. The means of samples are closest to the data with {look} (Fréchet "
        f"{grid.say(look, 'mean_frechet', 1)}; σ = 1: {grid.say('σ = 1', 'mean_frechet', 1)}, with "
        f"{grid.say('σ = 1', 'active', 1)} of {config.latent_dim} units active).",
        protocol=images.protocol(data, config.k),
    )
