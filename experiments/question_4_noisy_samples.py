"""Why do samples of a model with a learned σ look bad?

A draw stands sigma sqrt(D) from its mean, in a direction that no image has. Measured: correlation of neighbouring
pixels in what mu(z) leaves of data and in drawn noise, values out of range, looks of means, draws, clipped draws.

Prediction: Noise: a draw is σ√D from its mean (5.5 for pPCA with M = 8), and neighbouring pixels of it are not
correlated, while those of what μ(z) leaves of an image are. A tenth or more of the values is out of range; clipping
helps the range, not the looks. More latents leave less noise. Training images with that noise look as bad.
"""

import dataclasses

import numpy as np

import vaejax as vj
from experiments import images
from experiments.noise import both, noise_scores, residuals
from experiments.scores import scores
from experiments.study import Study, judge

HEADS = {
    "σ shared": vj.heads.normal("shared"),
    "σ(z)": vj.heads.normal("per_pixel"),
    "Bernoulli": vj.heads.bernoulli(),
    "continuous Bernoulli": vj.heads.continuous_bernoulli(),
}
REAL = "training images"
COLUMNS = ("draws of", "IWAE, nats", "|x - μ|", "lag 1, data", "lag 1, noise", "out of [0, 1], %")
NUMBERS = {"iwae": 1, "distance": 2, "data_lag1": 2, "noise_lag1": 2, "outside": 1}
LOOKS = {
    f"{of}_{part}": digits for part, digits in (("frechet", 1), ("precision", 2)) for of in ("mean", "draw", "clip")
}


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    sweep: tuple[int, ...] = (2, 8, 20, 32)
    """Latents of decoders with one shared sigma."""
    others: tuple[str, ...] = ("σ(z)", "Bernoulli", "continuous Bernoulli")
    """Other decoders."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), sweep=(8,), others=("Bernoulli",))


def main(config: Config) -> dict:
    study = Study(__name__, config)
    raw = images.load(config.data)
    data, judged = images.rows(raw), judge(config, raw)
    grey, (count, dim) = data.test.x, data.test.x.shape

    def fitted(head: str, latent_dim: int, seed: int) -> tuple:
        how = {"transform": vj.transforms.binarize} if head == "Bernoulli" else {}
        model, fit = images.trained(study, data, HEADS[head], seed, latent_dim, **how)
        return model, fit.best

    def cell(head: str, latent_dim: int, seed: int) -> dict:
        if head == REAL:  # as if their means were these images and their noise that of the shared sigma
            means = data.train.x[seed * count : (seed + 1) * count]
            return noise_scores(means, noisy(means, latent_dim, seed), None, grey, judged)
        model, params = fitted(head, latent_dim, seed)
        test = images.rows(raw, images.binary).test.x if head == "Bernoulli" else grey
        found = noise_scores(*both(model, params, seed + 1, count), residuals(model, params, test), grey, judged)
        return found | scores(model, params, test, k=config.k)

    def noisy(rows: np.ndarray, latent_dim: int, seed: int) -> np.ndarray:
        sigma = np.exp(fitted("σ shared", latent_dim, seed)[1]["likelihood"]["log_scale"])
        return rows + sigma * np.random.default_rng(seed).normal(size=rows.shape).astype(np.float32)

    sweep = sorted({*config.sweep, config.latent_dim})
    sizes = {f"σ shared, M = {m}": ("σ shared", m) for m in sweep}
    others = {head: (head, config.latent_dim) for head in (*config.others, REAL)}
    grid = study.grid(cell, sizes | others)
    rows = {name: name for name in sizes | others}
    study.table("What is in a draw", COLUMNS, grid.rows(rows, NUMBERS))
    columns = ("Fréchet and precision of", "means", "draws", "clipped", "means", "draws", "clipped")
    study.table("What the draws look like to the classifier", columns, grid.rows(rows, LOOKS))
    noise = {m: np.exp(vj.em.ppca_exact(vj.PPCA(dim, m), data.train.x)["log_scale"]) for m in sweep}
    lines = {"VAE, one learned σ": grid.line({name: m for name, (_, m) in sizes.items()}, "distance")}
    lines["pPCA, σ√D"] = list(noise), [np.sqrt(dim) * sigma for sigma in noise.values()]
    caption = "Mean distance of a draw from its mean, by the number of latents."
    study.lines("distance", lines, x_label="latents, M", y_label="|x - μ(z)|, grey values", caption=caption)
    heads, size = ("σ shared", *config.others), config.latent_dim
    drawn = {head: both(*fitted(head, size, 0)) for head in heads}
    caption = f"Means and, below, draws of: {', '.join(heads)}; then test images, without and with the noise of one σ."
    claim = "Beaulac, figures 3 and 4: draws from p(x|z) are horrible, with one σ and with σ(z)."
    picture = images.grid(raw, [*sum(drawn.values(), []), grey, noisy(grey[:10], size, 0)])
    study.figure("draws", picture, caption=caption, claim=claim)
    means, draws = drawn["σ shared"]
    left = np.stack([residuals(*fitted("σ shared", size, 0), grey[:10]), draws - means]).reshape(-1, *judged.shape)
    caption = "Above what μ(z) leaves of test images, z from q; below what the model draws in its place, with one σ."
    study.figure("residuals", vj.plots.image_grid(left, symmetric=True), caption=caption)
    ours = f"σ shared, M = {config.latent_dim}"
    say = lambda number, digits=2, of=ours: grid.say(of, number, digits)  # noqa: E731
    least = min(sizes, key=lambda name: grid.mean(name, "distance"))
    told = ", ".join(f"{name}: {say('draw_precision', of=name)}" for name in config.others)
    return study.finish(
        f"To the eye it is the noise: a draw stands {say('distance')} from its mean (pPCA: "
        f"{np.sqrt(dim) * noise[size]:.2f}) in a direction that no image has: neighbouring pixels correlate by "
        f"{say('data_lag1')} in what μ(z) leaves of test images, by {say('noise_lag1')} in drawn noise; "
        f"{say('outside', 1)} % of the values are out of range. To the judge, which was trained with noise of 0.2, "
        f"precision is {say('mean_precision')} for means, {say('draw_precision')} for draws, {say('clip_precision')} "
        f"clipped; for training images {say('mean_precision', of=REAL)} as they are and "
        f"{say('draw_precision', of=REAL)} with that noise. The Fréchet distance says {say('mean_frechet', 1)}, "
        f"{say('draw_frechet', 1)}, {say('clip_frechet', 1)} and, for training images with noise, "
        f"{say('draw_frechet', 1, REAL)}. With {least} the distance is {say('distance', of=least)}. Precision of "
        f"draws of {told}.",
        protocol=images.protocol(raw, config.k) + "; Bernoulli: of binarised pixels; samples against grey images",
    )
