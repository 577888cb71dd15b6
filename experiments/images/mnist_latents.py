"""What do the number of latents and the number of draws do to a VAE of MNIST?

Prediction: With n the reconstructions improve and the samples worsen, since the latents correlate in the aggregate
posterior; of 32 latents about 15 to 20 stay active. The variance of the ELBO's estimate falls as 1/L, but most of the
gradient's comes from the choice of the batch, so that L = 1 will do.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.harness.study import Study, judge
from experiments.images.pictures import line_panels, paired, rebuilt, sheet
from experiments.shared import pixels
from experiments.shared.phrases import best_of, counted_above, row_with_best, verdict
from experiments.shared.scores import estimator_spread, latent_scores, samples, scores

ORDER = 90

LIKELIHOOD = {"IWAE": ("iwae", 1), "ELBO": ("elbo", 1), "E log p(x|z)": ("log_likelihood", 1), "KL": ("kl", 1)}
USED = {"active": ("active", 1), "RMSE": ("reconstruction_rmse", 3)}
SAMPLES = {"Fréchet": ("mean_frechet", 1), "entropy": ("mean_entropy", 2)}
CODES = {"KL q(z)": ("aggregate_kl", 2), "largest |r|": ("largest_correlation", 2)}
OTHERS = {  # numbers of the models that are no fully connected VAE of binarised pixels, and their digits
    "RMSE": ("rmse", 3),
    "mutual information I(x; z), nats": ("mutual_information", 2),
    "KL q(z)": ("aggregate_kl", 2),
    "largest |r|": ("largest_correlation", 2),
}

LOSSES = {  # by their units
    "lost in reconstruction, nats an image": {"-E log p(x|z)": "distortion"},
    "KL, nats an image": {"from q(z|x) to p(z)": "kl"},
    "Fréchet distance, squared features": {"means of samples": "mean_frechet"},
}
NOISE = {"of the ELBO, square nats": "value", "of its gradient, trace": "gradient"}
CARRIES = 0.1  # nats of divergence above which a latent is said to carry something
VARIANCES = {
    "ELBO, other draws": "draw_value",
    "ELBO, another batch, too": "batch_value",
    "gradient, other draws": "draw_gradient",
    "gradient, another batch, too": "batch_gradient",
}


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    train: int = 20_000
    """Images to train on; 0 for all."""
    epochs: int = 10
    latents: tuple[int, ...] = (2, 8, 32)
    """Numbers of latents; the second one is drawn."""
    hidden: tuple[int, ...] = (512, 256, 128, 64)
    channels: tuple[int, ...] = (32, 64, 128, 256)
    conv_train: int = 5000
    """Images that the convolutional model is trained on."""
    conv_epochs: int = 5
    k: int = 200
    draws: tuple[int, ...] = (1, 2, 4, 8, 16)
    """L, draws of z for each image of the ELBO's estimate."""
    pairs: int = 16
    """Pairs of estimates that a variance is taken from."""

    @classmethod
    def smoke(cls) -> "Config":
        small = {"hidden": (32, 16), "channels": (4,), "latents": (2, 4), "draws": (1, 4), "pairs": 2}
        return cls.small(data="digits", epochs=2, conv_epochs=2, k=20, **small)

    @classmethod
    def full(cls) -> "Config":
        whole = {"train": 0, "conv_train": 0, "latents": (2, 8, 32, 64)}
        return cls(size="full", seeds=5, epochs=30, conv_epochs=20, k=1000, **whole)


class Spaces:
    """Fits of one study, by their number of latents and their seed."""

    def __init__(self, study: Study, config: Any):
        self.study, self.config = study, config
        self.data, self.few = (pixels.load(config.data, most) for most in (config.train, config.conv_train))
        self.shape = self.data.train.x.shape[1:]
        self.test, self.grey = pixels.binary(self.data.test), pixels.grey(self.data.test)
        self.judge = judge(config, self.data)

    def fitted(self, n: int, seed: int = 0) -> tuple[vj.VAE, Any]:
        """The fully connected VAE."""
        model, config = vj.zoo.vae(self.shape, n, hidden=self.config.hidden), self.config
        how = {"seed": seed, "epochs": config.epochs, "transform": vj.transforms.binarize}
        return model, self.study.fit(model, self.data, **how).best

    def convolutional(self) -> tuple[vj.VAE, Any]:
        """The convolutional VAE of eight latents."""
        model, config = vj.zoo.conv_vae(self.shape, 8, channels=self.config.channels), self.config
        how = {"epochs": config.conv_epochs, "batch_size": 64, "transform": vj.transforms.binarize}
        return model, self.study.fit(model, self.few, **how).best

    def plane(self) -> tuple[vj.VAE, Any]:
        """The σ-VAE of two latents."""
        model = vj.zoo.sigma_vae(self.shape, 2, hidden=self.config.hidden)
        return model, self.study.fit(model, self.data, epochs=self.config.epochs).best

    def numbers(self, n: int, seed: int) -> dict[str, Any]:
        """Likelihood, latents, and how good means of samples are beside grey images."""
        fit = self.fitted(n, seed)
        drawn = samples(*fit, 1, len(self.test), mode="mean")
        quality = vj.evaluate.sample_quality(drawn, self.grey, self.judge)
        found = scores(*fit, self.test, k=self.config.k) | latent_scores(*fit, self.test)
        named = {"mean_frechet": quality["frechet_distance"], "mean_entropy": quality["entropy"]}
        return found | named | {"distortion": -found["log_likelihood"]}

    def spread(self, draws: int, seed: int) -> dict[str, float]:
        """Variance of the estimates of the ELBO and of its gradient by so many draws of z."""
        how = {"draws": draws, "rows": 100, "pairs": self.config.pairs, "seed": seed}
        return estimator_spread(*self.fitted(self.config.latents[1], seed), self.test, **how)

    def error(self) -> dict[str, Any]:
        """Root mean square error of the convolutional model's reconstructions."""
        return {"rmse": np.sqrt(np.mean((rebuilt(*self.convolutional(), self.test) - self.test) ** 2))}

    def aggregate(self) -> dict[str, Any]:
        """What the codes in the plane are like."""
        return latent_scores(*self.plane(), self.grey)


def others(study: Study, spaces: Spaces) -> dict[str, Any]:
    """Numbers of the convolutional model and of the plane, and their table; a dash for what is not measured."""
    found = study.measure({"convolutional": spaces.error, "sigma-VAE": spaces.aggregate})
    say = lambda cell, name, digits: f"{cell[name]:.{digits}f}" if name in cell else "-"  # noqa: E731
    names = {"convolutional": "convolutional, n = 8, binarised", "sigma-VAE": "σ-VAE, n = 2, grey"}
    rows = [(names[name], *(say(cell, *column) for column in OTHERS.values())) for name, cell in found.items()]
    study.table("Beside them, one run each", ("model", *OTHERS), rows)
    return found


def draw_lines(study: Study, grid: Grid, noise: Grid, over: Mapping[str, int], draws: Mapping[str, int]) -> None:
    """Numbers over n, the divergence of each latent, and variances over L: `{variant: n}` and `{variant: L}`."""
    lost = {unit: {label: grid.line(over, number) for label, number in each.items()} for unit, each in LOSSES.items()}
    study.figure(
        "latents",
        line_panels(lost, "latents n"),
        caption="What is lost in reconstruction, what the latents carry, and how far samples are from test images.",
        claim="Mittas, section 3.4: with more latents reconstructions get better and samples less realistic.",
        series={label: line for each in lost.values() for label, line in each.items()},
    )
    ranked = {name: grid.values(name, "kl_per_dimension")[0] for name in over}
    study.lines(
        "kl",
        {name: (np.arange(1, len(kl) + 1), kl) for name, kl in ranked.items()},
        x_label="latent, by its divergence",
        y_label="KL, nats",
        caption=f"Divergence of each latent on test images, seed 0; the answer counts those above {CARRIES} nats.",
        claim="Mittas, section 3.5: in a collapsed latent q(z|x) is the prior whatever x.",
    )
    spread = {
        f"variance {unit}": {
            label: noise.line(draws, number) for label, number in VARIANCES.items() if number.endswith(what)
        }
        for unit, what in NOISE.items()
    }
    study.figure(
        "draws",
        line_panels(spread, "draws L of z for each image", log_y=True),
        caption="Variance of the estimate of the ELBO and of its gradient, means of 100 test images.",
        claim="Mittas, section 3: in practice L = 1.",
        series={label: line for each in spread.values() for label, line in each.items()},
    )


def draw_images(study: Study, spaces: Spaces) -> None:
    """Samples, reconstructions, the plane decoded, and where the test images are on it."""
    n, shape, plane = spaces.config.latents[1], spaces.shape, spaces.plane()
    study.figure(
        "samples",
        sheet(samples(*spaces.fitted(n), 1, 100, mode="mean"), shape),
        caption=f"Fully connected VAE, n = {n}: probabilities of a one given 100 draws of z.",
        claim="Mittas, figure 1: decoded standard normal samples of a fully connected VAE of eight latents are digits.",
    )
    again = np.asarray(rebuilt(*spaces.convolutional(), spaces.test))
    study.figure(
        "reconstructions",
        sheet(paired(spaces.test, again, rows=3), shape, row_labels=["test", "rebuilt"] * 3),
        caption="Convolutional VAE, n = 8: test images, and below each row their reconstructions from the centre of q.",
        claim="Mittas, figure 2: a convolutional VAE of eight latents reconstructs test images.",
    )
    decoded = vj.evaluate.draw.plane(*plane, steps=11, limit=1.0)
    study.figure(
        "plane",
        sheet(decoded, shape, columns=11, extent=(-1, 1, -1, 1)),
        caption="σ-VAE, n = 2: means of x over the square [-1, 1]^2.",
        claim="Mittas, figure 3, left: codes of the unit ball of the largest norm decode to digits that change "
        "smoothly.",
    )
    codes = vj.evaluate.encode_rows(*plane, jax.random.key(0), spaces.grey, temperature=0.0)
    study.figure(
        "codes",
        vj.plots.panels({"σ-VAE, n = 2": (codes, spaces.data.test.y)}, columns=1, prior=True),
        caption="σ-VAE, n = 2: means of q(z|x) of the test images, drawn as their digits; the circles are one and two "
        "standard deviations of p(z).",
        claim="Mittas, figure 3, right: classes lie apart, and q(z) is close to the standard normal prior.",
    )


def spaces_found(grid: Grid, over: Mapping[str, int]) -> str:
    """Sentences: what each number of latents gives, and which predictions that meets."""
    named = {name: name for name in over}
    first, *_, last = named
    row = lambda number, digits, **how: row_with_best(grid, named, number, digits, **how)  # noqa: E731
    plain = lambda number, digits: ", ".join(grid.say(name, number, digits) for name in over)  # noqa: E731
    better = best_of(grid, named, "log_likelihood", highest=True) == last
    worse = best_of(grid, named, "mean_frechet") == first
    carry = lambda name: counted_above(grid, name, "kl_per_dimension", CARRIES)  # noqa: E731
    used = [plain("active", 1), ", ".join(map(carry, over))]
    if "n = 32" in over:
        counts = grid.mean("n = 32", "active"), float(carry("n = 32").split()[0])
        used = [f"{said} ({verdict(14.5 <= count < 20.5)})" for said, count in zip(used, counts, strict=True)]
    return (
        f"By the number of latents, {', '.join(over)}: E log p(x|z), nats: {row('log_likelihood', 1, highest=True)}; "
        f"RMSE of reconstructions: {row('reconstruction_rmse', 3)}; IWAE, nats: {row('iwae', 1, highest=True)}; "
        f"Fréchet distance of means of samples: {row('mean_frechet', 1)}. So reconstructions "
        f"{'' if better else 'do not '}improve up to the most latents ({verdict(better)}), and samples are "
        f"{'' if worse else 'not '}best with the fewest ({verdict(worse)}). KL of the aggregate q(z) to p(z), nats: "
        f"{plain('aggregate_kl', 2)}; largest correlation of two latents: {plain('largest_correlation', 2)}. Latents "
        "in use (predicted: about 15 to 20 of 32), by the variance of their posterior means (above 0.01): "
        f"{used[0]}; by their KL (above {CARRIES} nats): {used[1]}."
    )


def noise_found(noise: Grid, draws: Mapping[str, int]) -> str:
    """Sentences: what more draws do to the variance of the ELBO and of its gradient."""
    one, *_, last = draws
    falls = {number: noise.mean(one, number) / noise.mean(last, number) for number in VARIANCES.values()}
    share = {what: noise.mean(one, f"draw_{what}") / noise.mean(one, f"batch_{what}") for what in NOISE.values()}
    return (
        f"From {one} to {last} the variance that comes from the draws falls {falls['draw_value']:.1f} times for the "
        f"ELBO and {falls['draw_gradient']:.1f} times for its gradient (predicted: {draws[last] / draws[one]:g}); with "
        f"other batches of 100 the gradient's whole variance falls {falls['batch_gradient']:.2f} times, for at {one} "
        f"draws make {share['gradient']:.0%} of it (predicted: less than half, {verdict(share['gradient'] < 0.5)}), "
        f"and {share['value']:.0%} of the ELBO's."
    )


def main(config: Config) -> dict:
    study = Study(__name__, config)
    spaces = Spaces(study, config)
    over, draws = {f"n = {n}": n for n in config.latents}, {f"L = {n}": n for n in config.draws}
    grid = study.grid(spaces.numbers, {name: (n,) for name, n in over.items()})
    noise = study.grid(spaces.spread, {name: (n,) for name, n in draws.items()})
    named = {str(n): name for name, n in over.items()}
    study.compare("Fully connected VAEs of n latents", grid, named, LIKELIHOOD | USED | SAMPLES | CODES, first="n")
    one = others(study, spaces)
    draw_lines(study, grid, noise, over, draws)
    draw_images(study, spaces)
    return study.finish(
        f"{spaces_found(grid, over)} {noise_found(noise, draws)} The σ-VAE's q(z) in the plane is "
        f"{one['sigma-VAE']['aggregate_kl']:.2f} nats from the prior.",
        protocol=pixels.protocol(spaces.data, config.k, pixels="binarised in each step, the test images once (seed 0)")
        + f"; {config.epochs} epochs; RMSE against binarised pixels; Fréchet distance and entropy of means of samples "
        f"in the features of {spaces.judge.name}, against grey test images; q(z) of at most 1000 test images; σ-VAE: "
        f"grey values; convolutional: {len(spaces.few.train)} images, {config.conv_epochs} epochs, one seed",
    )
