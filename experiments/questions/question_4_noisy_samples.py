"""Why do samples of a model with a learned σ look bad?

A draw stands sigma sqrt(D) from its mean, in a direction that no image has. Measured: correlation of neighbouring
pixels in what mu(z) leaves of data and in drawn noise, values out of range, looks of means, draws, clipped draws.

Prediction: Noise: a draw is σ√D from its mean (5.5 for pPCA with M = 8), and neighbouring pixels of it are not
correlated, while those of what μ(z) leaves of an image are. A tenth or more of the values is out of range; clipping
helps the range, not the looks. More latents leave less noise. Training images with that noise look as bad.
"""

import dataclasses
import functools

from experiments.harness.study import Study, judge
from experiments.shared import decoders, pixels
from experiments.shared.noise import LAGS, both, distances, looks, noise_grid, noise_scores, noised, residuals
from experiments.shared.phrases import listed
from experiments.shared.scores import scores

ORDER = 200

REAL = "training images"
COLUMNS = {"IWAE, nats": ("iwae", 1), "|x - μ|": ("distance", 2)} | LAGS | {"out of [0, 1], %": ("outside", 1)}
CLAIM = "Beaulac, figures 3 and 4: draws from p(x|z) are horrible, with one σ and with σ(z)."


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    sweep: tuple[int, ...] = (2, 8, 20, 32)
    """Latents of decoders with one shared sigma."""
    others: tuple[str, ...] = ("σ(z)", "Bernoulli", "continuous Bernoulli")
    """Other decoders."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), sweep=(8,), others=("Bernoulli",))


def main(config: Config) -> dict:
    study, raw, size = Study(__name__, config), pixels.load(config.data), config.latent_dim
    data, judged = pixels.rows(raw), judge(config, raw)
    grey, fitted = data.test.x, functools.partial(decoders.fitted, study, data)

    def cell(head: str, latent_dim: int, seed: int) -> dict:
        if head == REAL:  # as if their means were these images and their noise that of the shared sigma
            means = data.train.x[seed * len(grey) : (seed + 1) * len(grey)]
            return noise_scores(means, noised(means, *fitted("σ shared", latent_dim, seed), seed), None, grey, judged)
        model, params = fitted(head, latent_dim, seed)
        test = pixels.rows(raw, pixels.binary).test.x if head == "Bernoulli" else grey
        found = noise_scores(*both(model, params, seed + 1, len(grey)), residuals(model, params, test), grey, judged)
        return found | scores(model, params, test, k=config.k)

    sizes = {f"σ shared, M = {m}": ("σ shared", m) for m in sorted({*config.sweep, size})}
    others, ours = {head: (head, size) for head in (*config.others, REAL)}, f"σ shared, M = {size}"
    grid, names = study.grid(cell, sizes | others), [*sizes, *others]
    study.compare("What is in a draw", grid, names, COLUMNS, first="draws of")
    looks(study, "What the draws look like to the classifier", grid, names)
    pca = distances(study, grid, {name: m for name, (_, m) in sizes.items()}, data.train.x)
    one = fitted("σ shared", size, 0)
    drawn = {head: both(*fitted(head, size, 0)) for head in ("σ shared", *config.others)}
    named = [f"{head}: {rows}" for head in drawn for rows in ("means", "draws")] + ["test images", "with noise, one σ"]
    picture = pixels.grid(raw, [*sum(drawn.values(), []), grey, noised(grey[:10], *one, 0)], named)
    caption = "Means of samples and draws from the same z; test images, without and with the noise of one σ."
    study.figure("draws", picture, caption=caption, claim=CLAIM)
    caption = "Above what μ(z) leaves of test images, z from q; below what the model draws in its place, with one σ."
    noise_grid(study, "residuals", raw, residuals(*one, grey[:10]), {"drawn noise": drawn["σ shared"]}, caption)
    say = lambda number, digits=2, of=ours: grid.say(of, number, digits)  # noqa: E731
    far = listed(grid, {f"M = {m}": name for name, (_, m) in sizes.items()}, "distance")
    least, *_ = sorted(sizes, key=lambda name: grid.mean(name, "distance"))
    falls, told = f"least with {least} (predicted: with most)", listed(grid, config.others, "draw_precision")
    return study.finish(
        f"To the eye it is the noise: a draw stands {say('distance')} from its mean (pPCA: {pca[size]:.2f}) in a "
        f"direction that no image has: neighbouring pixels correlate by {say('data_lag1')} in what μ(z) leaves of test "
        f"images, by {say('noise_lag1')} in drawn noise; {say('outside', 1)} % of the values are out of range. By the "
        f"number of latents the distance is {far}: {falls}. The judge, which was trained with noise of 0.2, minds it "
        f"less. Precision: means {say('mean_precision')}, draws {say('draw_precision')}, clipped draws "
        f"{say('clip_precision')}; training images {say('mean_precision', of=REAL)}, with that noise "
        f"{say('draw_precision', of=REAL)}. Fréchet distance: means {say('mean_frechet', 1)}, draws "
        f"{say('draw_frechet', 1)}, clipped draws {say('clip_frechet', 1)}, training images with that noise "
        f"{say('draw_frechet', 1, REAL)}. Precision of draws of {told}.",
        protocol=pixels.protocol(raw, config.k) + "; Bernoulli: of binarised pixels; samples against grey images",
    )
