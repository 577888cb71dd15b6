"""What do the number of latents and beta do to reconstructions, samples and single latents?

Faces: what latents and beta do to samples, reconstructions and traversals; `--folder` takes any images. Without a
folder CelebA is read through TFDS; where it is not there either, sprites and handwritten digits stand in.

Prediction: More latents: better reconstructions up to some tens of active units, and samples that are no better.
Larger beta: worse reconstructions, fewer active units, and an aggregate posterior nearer to the prior.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments import images
from experiments.scores import latent_scores, samples, shrunk
from experiments.study import Base, Study

NUMBERS = {
    "elbo": 1,
    "distortion": 1,
    "kl": 1,
    "rmse": 4,
    "active": 1,
    "frechet": 2,
    "recall": 2,
    "aggregate_kl": 2,
    "largest_correlation": 2,
}
COLUMNS = ("setting", "ELBO", "-E log p(x|z)", "KL", "RMSE", "active", "Fréchet", "recall", "KL q(z)", "largest |r|")


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
        return cls.small(
            celeba=False,
            side=16,
            train=300,
            rows=300,
            epochs=2,
            latents=(2, 4),
            betas=(1.0,),
            hidden=(16,),
            channels=(4, 8),
        )

    @classmethod
    def full(cls) -> "Config":
        wide = {"channels": (32, 64, 128, 256), "hidden": (512, 512)}
        return cls(size="full", seeds=3, train=150_000, epochs=20, warm_up=10_000, **wide)


def sources(config: Config) -> dict[str, tuple]:
    """Images, likelihood and binarisation of each data set."""
    found = images.photographs(config.folder, config.side, config.train) if config.folder or config.celeba else None
    if found is not None:  # squared errors plus the divergence, the sources' loss, are the bound at this sigma
        return {"faces": (found, vj.heads.normal(0.5**0.5), None)}
    drawn = vj.data.sprites(config.train, test=config.rows, validation=0.1, size=max(config.side // 2, 8)).data
    name = "digits" if config.size == "smoke" else "mnist"
    found = {"sprites": drawn, name: images.load(name, config.train)}
    return {name: (data, vj.heads.bernoulli(), vj.transforms.binarize) for name, data in found.items()}


@jax.jit
def rebuilt(model: Any, params: Any, x: Any) -> jax.Array:
    """Reconstructions from the centres of q."""
    one = lambda row: vj.reconstruct(model, params, jax.random.key(0), row, temperature=0.0)  # noqa: E731
    return jax.lax.map(one, x, batch_size=min(len(x), 100))


def main(config: Config) -> dict:
    study = Study(__name__, config)
    given = sources(config)
    stand_in = (
        ""
        if "faces" in given
        else "Neither a folder nor CelebA was given: sprites and handwritten digits stand in for faces. "
    )
    study.console.print(stand_in or f"faces: {'; '.join(given['faces'][0].notes)}")
    middle = config.latents[1]

    def fitted(name: str, n: int, beta: float, seed: int) -> tuple:
        data, head, transform = given[name]
        shape, objective = data.train.x.shape[1:], vj.objectives.warm_up(config.warm_up, vj.objectives.beta(beta))
        if name == "faces":
            model = vj.zoo.conv_vae(shape, n, channels=config.channels, likelihood=head, objective=objective)
        else:
            model = vj.zoo.vae(shape, n, hidden=config.hidden, likelihood=head, objective=objective)
        return model, study.fit(model, data, seed=seed, epochs=config.epochs, transform=transform).best

    forms = {name: images.binary if transform else images.grey for name, (_, _, transform) in given.items()}
    tests = {name: forms[name](data.test.take(slice(0, config.rows))) for name, (data, _, _) in given.items()}

    def cell(name: str, n: int, beta: float, seed: int) -> dict:
        model, params = fitted(name, n, beta, seed)
        test, key = tests[name], jax.random.key(200 + seed)
        bound = vj.evaluate.rate_distortion(model, jax.tree.map(lambda leaf: leaf[None], params), key, test)
        drawn, real = shrunk(samples(model, params, 1, len(test), mode="mean")), shrunk(test)
        return latent_scores(model, params, test) | {
            "elbo": -float(bound.rate[0] + bound.distortion[0]),
            "kl": bound.rate[0],
            "distortion": bound.distortion[0],
            "rmse": np.sqrt(np.mean((rebuilt(model, params, test) - test) ** 2)),
            "active": int(vj.active_units(model, params, test).count),
            "frechet": vj.evaluate.frechet_distance(drawn, real),
            "recall": vj.evaluate.precision_recall(drawn, real)[1],
        }

    by_n = {f"n = {n}": (n, 1.0) for n in config.latents}
    by_beta = {f"n = {middle}, β = {beta}": (middle, beta) for beta in config.betas if beta != 1.0}
    grid = study.grid(cell, {f"{name}, {k}": (name, *v) for name in given for k, v in (by_n | by_beta).items()})
    said = []
    for name, (data, _, _) in given.items():
        study.table(name, COLUMNS, grid.rows({k: f"{name}, {k}" for k in by_n | by_beta}, NUMBERS))
        over = {f"{name}, {k}": n for k, (n, _) in by_n.items()}
        labels = {
            "rmse": "RMSE of reconstructions",
            "frechet": "Fréchet distance of samples",
            "aggregate_kl": "KL of q(z)",
        }
        study.lines(
            f"{name}_latents",
            {label: grid.line(over, number) for number, label in labels.items()},
            x_label="latents n (β = 1)",
            y_label="a pixel; squared grey values; nats",
            log_x=True,
            log_y=True,
            caption=f"{name}: errors of reconstructions, distance of means of samples from test images, KL of "
            "q(z) from p(z).",
            claim="Mittas, section 3.4: with n reconstructions improve and samples become less realistic.",
        )
        shape, test, few = data.train.x.shape[1:], tests[name], images.grey(data.test)[:12]
        show = lambda x, shape=shape, **how: vj.plots.image_grid(  # noqa: E731
            np.asarray(x).reshape(-1, *shape), limits=(0, 1), columns=12, **how
        )
        for n, which in zip(config.latents[1:], ((4, 5), (7, 8), (9, 10)), strict=False):
            model, params = fitted(name, n, 1.0, 0)
            study.figure(
                f"{name}_{n}",
                show(
                    np.concatenate(
                        [few, test[:12], rebuilt(model, params, test[:12]), samples(model, params, 1, 144, mode="mean")]
                    )
                ),
                caption=f"{name}, n = {n}: test images, as the model is given them, reconstructions, and 144 "
                "means of samples.",
                claim=f"Mittas, figures {which[0]} and {which[1]}: samples and reconstructions of a β-VAE of faces.",
            )
        strong = max(config.betas)
        model, params = fitted(name, middle, strong, 0)
        codes = vj.evaluate.codes(model, params, jax.random.key(4), test, temperature=0.0)
        order = np.argsort(-np.asarray(codes).var(0))[:10]
        walks = [vj.evaluate.traverse(model, params, codes[0], int(i), values=np.linspace(-3, 3, 12)) for i in order]
        study.figure(
            f"{name}_traversals",
            show(np.concatenate(walks), title=f"n = {middle}, β = {strong}: z from -3 to 3"),
            caption=f"{name}: one latent a row moves from -3 to 3, the others stay at the code of a test image; "
            "those whose means move most over the test images are above.",
            claim="Mittas, figure 6: each latent of a β-VAE controls a feature of its own.",
        )
        ends = [(codes[2 * i], codes[2 * i + 1]) for i in range(min(4, len(codes) // 2))]
        study.figure(
            f"{name}_interpolation",
            show(np.concatenate([vj.evaluate.interpolate(model, params, *pair, steps=12) for pair in ends])),
            caption=f"{name}, n = {middle}, β = {strong}: twelve steps on the line between the codes of two test "
            "images.",
        )
        first, last = (f"{name}, n = {n}" for n in (config.latents[0], config.latents[-1]))
        weak, tight = (f"{name}, n = {middle}" + ("" if b == 1 else f", β = {b}") for b in (min(config.betas), strong))
        pair = lambda number, d, a=first, b=last: f"{grid.say(a, number, d)} to {grid.say(b, number, d)}"  # noqa: E731
        said.append(
            f"{name}: from n = {config.latents[0]} to {config.latents[-1]} the RMSE of reconstructions goes from "
            f"{pair('rmse', 3)}, the Fréchet distance of samples from {pair('frechet', 2)}, the KL of q(z) from "
            f"the prior from {pair('aggregate_kl', 1)} nats, active latents from {pair('active', 0)}; from β = "
            f"{min(config.betas)} to {strong} at n = {middle} the RMSE from {pair('rmse', 3, weak, tight)}, "
            f"active latents from {pair('active', 0, weak, tight)}."
        )
    parts = ", ".join(
        f"{name}: {len(data.train)} of {'x'.join(map(str, data.train.x.shape[1:]))}"
        for name, (data, *_) in given.items()
    )
    return study.finish(
        stand_in + " ".join(said),
        protocol=f"Images to train on: {parts}; {config.epochs} epochs, KL warm-up over {config.warm_up} steps, "
        f"the epoch chosen by validation images, at most {config.rows} test images; photographs: grey "
        "values k/255 as they "
        "are, Gaussian of σ² = 1/2 (the sum of squared errors plus β KL), convolutional; others: binarised anew "
        "in each step, test images once (seed 0), fully connected; ELBO of one draw at weight 1; Fréchet "
        "distance and recall of means of samples in pixels averaged to at most 16 a side; ±: standard errors "
        "over seeds",
    )
