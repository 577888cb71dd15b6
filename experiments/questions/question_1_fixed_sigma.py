"""Does fixing the decoder's sigma make a more useful model, and why?

Decoders by their sigma, with all pixels and without those of variance below 0.01 (340 on MNIST); and no latents.

Prediction: sigma = 1: test log-likelihood -735 to -743. Shared and optimal sigma: above 154 (pPCA, M = 8), and the
best means. sigma(z): the highest likelihood, from background pixels, and unstable.
"""

import dataclasses
import functools

import numpy as np

import vaejax as vj
from experiments.harness.study import Study, judge
from experiments.shared import pixels
from experiments.shared.decoders import GAUSSIAN
from experiments.shared.noise import both, no_latents
from experiments.shared.scores import latent_scores, scores

ORDER = 170

NUMBERS = {"IWAE, nats": ("iwae", 1), "RMSE": ("reconstruction_rmse", 3), "KL": ("kl", 1), "active": ("active", 1)}
NUMBERS |= {"KL of q(z)": ("aggregate_kl", 2), "least σ": ("least_sigma", 4), "worst epoch": ("fall", 0)}
NUMBERS |= {"Fréchet of means": ("mean_frechet", 1), "their entropy": ("mean_entropy", 2)}
SAID = {"iwae": 1, "reconstruction_rmse": 3, "active": 1, "mean_frechet": 1, "aggregate_kl": 2, "fall": 0, "kl": 1}


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    decoders: tuple[str, ...] = tuple(GAUSSIAN)

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), decoders=("σ = 1", "σ shared", "σ(z), floor 0.001"))


def main(config: Config) -> dict:
    study, data = Study(__name__, config), pixels.load(config.data)
    wide = np.var(pixels.grey(data.train), axis=0).ravel() >= 0.01
    forms = {"": pixels.rows(data), "u": pixels.rows(data, pixels.dequantised), "wide": pixels.rows(data, kept=wide)}
    names = {n: (n, "") for n in config.decoders} | {"σ(z), dequantised": ("σ(z), floor 0.001", "u")}
    again = {f"{name}, wide": (name, "wide") for name in ("σ = 1", "σ shared", "σ(z), floor 0.001")}

    def fitted(name: str, form: str, seed: int) -> tuple:
        zoo = vj.zoo.sigma_vae if "*" in name else functools.partial(vj.zoo.vae, likelihood=GAUSSIAN[name])
        model = zoo(forms[form].train.x.shape[1], config.latent_dim, hidden=config.hidden)
        return model, study.fit(model, forms[form], seed=seed, epochs=config.epochs)

    def cell(name: str, form: str, seed: int) -> dict:
        (model, fit), test = fitted(name, form, seed), forms[form].test.x
        how = {} if form == "wide" else {"judge": judge(config, data)}
        found = scores(model, fit.best, test, k=config.k, **how) | latent_scores(model, fit.best, test)
        return found | {"fall": np.max(-np.diff(fit.history["validation_elbo"]), initial=0.0)}

    grid = study.grid(cell, names | again)
    study.compare("All pixels", grid, [*names], NUMBERS, first="decoder")
    study.compare(f"The {wide.sum()} pixels of variance 0.01 and more", grid, [*again], NUMBERS, first="decoder")
    whole = (vj.data.mnist() if config.data == "mnist" else data).train
    alone = no_latents(study, pixels.grey(whole).reshape(len(whole), -1))
    shown = [rows for name in config.decoders for rows in both(fitted(name, "", 0)[0], fitted(name, "", 0)[1].best)]
    named = [f"{name}: {rows}" for name in config.decoders for rows in ("means", "draws")]
    caption = "Means of samples of each decoder, and draws from the same z with their noise."
    study.figure("samples", pixels.grid(data, shown, named), caption=caption)
    best = max(config.decoders, key=lambda name: grid.mean(name, "iwae"))
    least = ("mean_frechet", "aggregate_kl", "reconstruction_rmse")
    look, near, sharp = (min(names, key=lambda name, n=n: grid.mean(name, n)) for n in least)
    pair = ("σ(z), floor 0.001", "σ shared")
    over = {form: np.subtract(*(grid.mean(name + form, "iwae") for name in pair)) for form in ("", ", wide")}
    one, two, free = ([grid.say(n, s, d) for s, d in SAID.items()] for n in ("σ = 1", *pair[::-1]))
    return study.finish(
        f"Not by likelihood: σ = 1 has {one[0]} nats, one learned σ {two[0]}, most {best} {grid.say(best, 'iwae', 1)}. "
        f"Of the {over['']:.0f} nats that σ(z) gains over one σ, {over[', wide']:.0f} are there without the "
        f"{(~wide).sum()} pixels of low variance; without latents a Gaussian a pixel has {alone:.0f} (training "
        f"images). Reconstructions are best with {sharp} (RMSE {grid.say(sharp, 'reconstruction_rmse', 3)}; σ = 1: "
        f"{one[1]}, {one[2]} of {config.latent_dim} units active), means of samples with {look} (Fréchet "
        f"{grid.say(look, 'mean_frechet', 1)}; σ = 1: {one[3]}, one learned σ: {two[3]}), and q(z) is nearest to the "
        f"prior with {near} ({grid.say(near, 'aggregate_kl')} nats; one learned σ: {two[4]}): noise of variance 1 "
        f"leaves little that is worth its divergence from the prior: {one[6]} nats, and {two[6]} with one learned σ. "
        f"From one epoch to the next σ(z) lost up to {free[5]} nats on the validation images, one learned σ {two[5]}.",
        protocol=pixels.protocol(data, config.k),
    )
