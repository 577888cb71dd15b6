"""What do the number of latents and beta do to reconstructions, samples and single latents?

Faces: what latents and beta do to samples, reconstructions and traversals; `--folder` takes any images. Without a
folder CelebA is read through TFDS; where it is not there either, sprites and handwritten digits stand in.

Prediction: More latents: better reconstructions up to some tens of active units, and samples that are no better.
Larger beta: worse reconstructions, fewer active units, and an aggregate posterior nearer to the prior.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments.harness.grid import Grid
from experiments.harness.study import Base, Study
from experiments.images.pictures import interpolations, line_panels, rebuilt, sheet, traversals
from experiments.shared import pixels
from experiments.shared.phrases import best_of, change, counted_above, row_with_best, verdict
from experiments.shared.scores import latent_scores, samples, shrunk

ORDER = 100

BOUND = {"ELBO": ("elbo", 1), "-E log p(x|z)": ("distortion", 1), "KL": ("kl", 1), "RMSE": ("rmse", 4)}
OTHERS = {"active": ("active", 1), "Fréchet": ("frechet", 2), "recall": ("recall", 2), "KL q(z)": ("aggregate_kl", 2)}
COLUMNS = BOUND | OTHERS | {"largest |r|": ("largest_correlation", 2)}
LINES = {  # by their units
    "RMSE of a pixel": {"reconstructions": "rmse"},
    "Fréchet distance, squared grey values": {"means of samples": "frechet"},
    "KL, nats": {"of q(z) to p(z)": "aggregate_kl", "of q(z|x) to p(z)": "kl"},
}
CARRIES = 0.1  # nats of divergence above which a latent is said to carry something
SOURCES = ("4 and 5", "7 and 8", "9 and 10")  # a source's figures of samples and reconstructions, by growing n
ACROSS = 12  # images in a row
STAND_IN = "Neither a folder nor CelebA was given: sprites and handwritten digits stand in for faces. "


@dataclasses.dataclass(frozen=True)
class Config(Base):
    folder: Path | None = None
    """Images of any kind and size: their middle squares are trained on."""
    celeba: bool = True
    """Look for CelebA where there is no folder."""
    side: int = 64
    """Pixels a side of photographs; sprites have half as many."""
    train: int = 5000
    """Images to train on, of each data set."""
    rows: int = 1000
    """Test images at most."""
    epochs: int = 12
    latents: tuple[int, ...] = (2, 10, 128, 256)
    """Numbers of latents n, at beta = 1; the second one is taken for the sweep of beta."""
    betas: tuple[float, ...] = (0.1, 1.0, 2.0, 4.0)
    warm_up: int = 100
    """Steps in which the weight of the divergence rises."""
    channels: tuple[int, ...] = (16, 32, 64, 128)
    """Of the convolutional networks of photographs."""
    hidden: tuple[int, ...] = (256, 256)
    """Of the fully connected networks of what stands in for them."""

    @classmethod
    def smoke(cls) -> "Config":
        small = {"side": 16, "train": 300, "rows": 300, "epochs": 2, "hidden": (16,), "channels": (4, 8)}
        return cls.small(celeba=False, latents=(2, 4), betas=(1.0,), **small)

    @classmethod
    def full(cls) -> "Config":
        wide = {"channels": (32, 64, 128, 256), "hidden": (512, 512)}
        return cls(size="full", seeds=3, train=150_000, epochs=20, warm_up=10_000, **wide)


def label(name: str, n: int, beta: float = 1.0) -> str:
    """What a fit to these data is called, or without their name."""
    return (f"{name}, " if name else "") + f"n = {n}" + ("" if beta == 1 else f", β = {beta}")


def sources(config: Any) -> dict[str, tuple]:
    """Images, likelihood and binarisation of each data set."""
    found = pixels.photographs(config.folder, config.side, config.train) if config.folder or config.celeba else None
    if found is not None:  # squared errors plus the divergence, the sources' loss, are the bound at this sigma
        return {"faces": (found, vj.heads.normal(0.5**0.5), None)}
    drawn = vj.data.sprites(config.train, test=config.rows, validation=0.1, size=max(config.side // 2, 8)).data
    name = "digits" if config.size == "smoke" else "mnist"
    found = {"sprites": drawn, name: pixels.load(name, config.train)}
    return {name: (data, vj.heads.bernoulli(), vj.transforms.binarize) for name, data in found.items()}


class Portraits:
    """Fits of one study, by the data's name, the number of latents, the weight and the seed."""

    def __init__(self, study: Study, config: Any):
        self.study, self.config, self.given = study, config, sources(config)
        forms = {name: pixels.binary if binary else pixels.grey for name, (_, _, binary) in self.given.items()}
        rows = slice(0, config.rows)
        self.tests = {name: forms[name](data.test.take(rows)) for name, (data, *_) in self.given.items()}
        self.real = "faces" in self.given
        self.about = "" if self.real else STAND_IN
        study.console.print(self.about or f"faces: {'; '.join(self.given['faces'][0].notes)}")

    def fitted(self, name: str, n: int, beta: float, seed: int = 0) -> tuple[vj.VAE, Any]:
        """Convolutional for faces, fully connected for what stands in for them."""
        (data, head, transform), config = self.given[name], self.config
        objective = vj.objectives.warm_up(config.warm_up, vj.objectives.beta(beta))
        how = {"likelihood": head, "objective": objective}
        if self.real:
            model = vj.zoo.conv_vae(data.train.x.shape[1:], n, channels=config.channels, **how)
        else:
            model = vj.zoo.vae(data.train.x.shape[1:], n, hidden=config.hidden, **how)
        return model, self.study.fit(model, data, seed=seed, epochs=config.epochs, transform=transform).best

    def numbers(self, name: str, n: int, beta: float, seed: int) -> dict[str, Any]:
        """The bound at weight 1 and its parts, latents, errors, and samples in small pixels."""
        (model, params), test = self.fitted(name, n, beta, seed), self.tests[name]
        one = jax.tree.map(lambda leaf: leaf[None], params)
        bound = vj.evaluate.evidence.rate_distortion(model, one, jax.random.key(200 + seed), test)
        drawn, real = shrunk(samples(model, params, 1, len(test), mode="mean")), shrunk(test)
        return latent_scores(model, params, test) | {
            "elbo": -float(bound.rate[0] + bound.distortion[0]),
            "kl": bound.rate[0],
            "distortion": bound.distortion[0],
            "rmse": np.sqrt(np.mean((rebuilt(model, params, test) - test) ** 2)),
            "active": int(vj.evaluate.active_units(model, params, test).count),
            "frechet": vj.evaluate.samples.frechet_distance(drawn, real),
            "recall": vj.evaluate.samples.precision_recall(drawn, real)[1],
        }


def draw_lines(study: Study, grid: Grid, name: str, latents: Sequence[int]) -> None:
    """What more latents do."""
    over = {label(name, n): n for n in latents}
    lines = {unit: {label: grid.line(over, number) for label, number in each.items()} for unit, each in LINES.items()}
    study.figure(
        f"{name}_latents",
        line_panels(lines, "latents n (β = 1)"),
        caption=f"{name}: errors of reconstructions, distance of means of samples from test images, and divergences "
        "from the prior.",
        claim="Mittas, section 3.4: with n reconstructions improve and samples become less realistic.",
        series={label: line for each in lines.values() for label, line in each.items()},
    )


def draw_images(study: Study, portraits: Portraits, name: str) -> None:
    """Samples and reconstructions by n; at the largest beta what single latents do, and lines between codes."""
    (data, *_), test, config = portraits.given[name], portraits.tests[name], portraits.config
    shape, some = data.train.x.shape[1:], test[:ACROSS]
    for n, numbers in zip(config.latents[1:], SOURCES, strict=False):
        fit = portraits.fitted(name, n, 1.0)
        rows = [pixels.grey(data.test)[:ACROSS], some, rebuilt(*fit, some), samples(*fit, 1, 144, mode="mean")]
        study.figure(
            f"{name}_{n}",
            sheet(np.concatenate(rows), shape, columns=ACROSS),
            caption=f"{name}, n = {n}: test images, as the model is given them, reconstructions, and 144 means of "
            "samples.",
            claim=f"Mittas, figures {numbers}: samples and reconstructions of a β-VAE of faces.",
        )
    n, beta = config.latents[1], max(config.betas)
    fit = portraits.fitted(name, n, beta)
    codes = vj.evaluate.encode_rows(*fit, jax.random.key(4), test, temperature=0.0)
    title = f"n = {n}, β = {beta}: z from -3 to 3"
    study.figure(
        f"{name}_traversals",
        sheet(traversals(*fit, codes, ACROSS), shape, columns=ACROSS, title=title),
        caption=f"{name}: one latent a row moves from -3 to 3, the others stay at the code of a test image; those "
        "whose means move most over the test images are above.",
        claim="Mittas, figure 6: each latent of a β-VAE controls a feature of its own.",
    )
    study.figure(
        f"{name}_interpolation",
        sheet(interpolations(*fit, codes, ACROSS), shape, columns=ACROSS),
        caption=f"{name}, n = {n}, β = {beta}: twelve steps on the line between the codes of two test images.",
    )


def protocol(portraits: Portraits) -> str:
    """What the numbers mean."""
    config = portraits.config
    sizes = {name: (len(data.train), data.train.x.shape[1:]) for name, (data, *_) in portraits.given.items()}
    parts = ", ".join(f"{name}: {count} of {'x'.join(map(str, shape))}" for name, (count, shape) in sizes.items())
    return (
        f"Images to train on: {parts}; {config.epochs} epochs, KL warm-up over {config.warm_up} steps, the epoch "
        f"chosen by validation images, at most {config.rows} test images; photographs: grey values k/255 as they are, "
        "Gaussian of σ² = 1/2 (the sum of squared errors plus β KL), convolutional; others: binarised anew in each "
        "step, test images once (seed 0), fully connected; ELBO of one draw at weight 1; Fréchet distance and recall "
        "of means of samples in pixels averaged to at most 16 a side; ±: standard errors over seeds"
    )


def what_latents_do(grid: Grid, name: str, latents: Sequence[int], betas: Sequence[float]) -> str:
    """Sentences: what each number of latents gives, what the least and the greatest beta do, and the predictions."""
    over = {label("", n): label(name, n) for n in latents}
    each = lambda number: ", ".join(grid.say(variant, number, 1) for variant in over.values())  # noqa: E731
    carry = ", ".join(counted_above(grid, variant, "kl_per_dimension", CARRIES) for variant in over.values())
    best, finest, first = best_of(grid, over, "rmse"), best_of(grid, over, "frechet"), label("", latents[0])
    inside = best in list(over)[1:-1]
    said = (
        f"{name}, {', '.join(over)}: RMSE of reconstructions: {row_with_best(grid, over, 'rmse', 3)}; Fréchet distance "
        f"of means of samples: {row_with_best(grid, over, 'frechet')}; KL of q(z|x) to p(z), nats: "
        f"{each('kl')}; of the aggregate q(z): {each('aggregate_kl')}; latents with a KL above {CARRIES} nats: "
        f"{carry}; active: {each('active')}. Reconstructions are best at {best} (better with n up to some tens of "
        f"latents in use: {verdict(inside)}), samples at {finest} (no better with more: "
        f"{verdict(finest == first)})."
    )
    if min(betas) == max(betas):
        return said
    ends = [label(name, latents[1], beta) for beta in (min(betas), max(betas))]
    moved = lambda number: grid.mean(ends[1], number) - grid.mean(ends[0], number)  # noqa: E731
    return said + (
        f" At n = {latents[1]} from β = {min(betas)} to {max(betas)} the RMSE goes from "
        f"{change(grid, ends, 'rmse', 3)} (worse: {verdict(moved('rmse') > 0)}), active latents from "
        f"{change(grid, ends, 'active', 1)} (fewer: {verdict(moved('active') < -0.5)}), the KL of the aggregate q(z) "
        f"from {change(grid, ends, 'aggregate_kl', 1)} nats (less: {verdict(moved('aggregate_kl') < 0)})."
    )


def main(config: Config) -> dict:
    study = Study(__name__, config)
    portraits = Portraits(study, config)
    n, betas, said = config.latents[1], (min(config.betas), max(config.betas)), []
    ways = [(each, 1.0) for each in config.latents] + [(n, beta) for beta in config.betas]
    grid = study.grid(portraits.numbers, {label(name, *way): (name, *way) for name in portraits.given for way in ways})
    for name in portraits.given:
        study.compare(name, grid, {label("", *way): label(name, *way) for way in ways}, COLUMNS, first="setting")
        draw_lines(study, grid, name, config.latents)
        draw_images(study, portraits, name)
        said.append(what_latents_do(grid, name, config.latents, betas))
    rule = f"Active: posterior means of variance above 0.01, which says little after {config.epochs} epochs."
    return study.finish(f"{portraits.about}{' '.join(said)} {rule}", protocol=protocol(portraits))
