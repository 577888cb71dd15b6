"""Does a VAE that was trained without a digit find that digit strange?

Anomalies: does a VAE that never saw a digit find it strange, by bound, likelihood ratio or reconstruction? One digit
is left out of training and validation; its test images are the strange ones, those of the others the usual.

Prediction: AUROC above 0.9 for the 0, near 0.5 or below for the 1, whose few strokes any model finds likely, and for
the 9, which the 4 and the 7 explain. The likelihood ratio helps with the 1; draws change little.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import vaejax as vj
from experiments import images
from experiments.study import Study

NAMES = {"elbo": "ELBO", "iwae": "IWAE", "ratio": "likelihood ratio", "autoencoder": "autoencoder, squared error"}
SHARE = 0.2  # of the pixels, which the background model sees replaced by a fair coin


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    digits: tuple[int, ...] = (0, 1, 4, 9)
    """Digits that are left out, one at a time."""
    train: int = 16_000
    """Images to train on, as many whichever digit is left out; 0 for all."""
    k: int = 100

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), digits=(0, 1), train=800)

    @classmethod
    def full(cls) -> "Config":
        return dataclasses.replace(super().full(), digits=tuple(range(10)), train=0, epochs=30)


def mutate(key: jax.Array, x: jax.Array) -> jax.Array:
    """Binarised pixels, some of them replaced by a fair coin."""
    keys = jax.random.split(key, 3)
    coin, mutated = (jax.random.bernoulli(k, p, x.shape) for k, p in zip(keys[:2], (0.5, SHARE), strict=True))
    return jax.numpy.where(mutated, coin.astype("float32"), vj.transforms.binarize(keys[2], x))


def main(config: Config) -> dict:
    study = Study(__name__, config)
    data = images.load(config.data, test=3000)
    fewest = [len(part) - max(np.bincount(part.y)) for part in (data.train, data.validation)]
    counts = [min(config.train or fewest[0], fewest[0]), fewest[1]]  # the same for all digits: one compilation
    sizes = data.train.x.shape[1:], config.latent_dim
    vae, plain = (zoo(*sizes, hidden=config.hidden) for zoo in (vj.zoo.vae, vj.zoo.autoencoder))
    binarize, test, key = vj.transforms.binarize, images.binary(data.test), jax.random.key(100)

    def scored(digit: int, seed: int) -> dict[str, np.ndarray]:
        parts = [p.take(np.flatnonzero(p.y != digit)[:n]) for p, n in zip(data.parts[:2], counts, strict=True)]

        def fit(model: vj.LatentModel, how: Callable) -> Any:
            options = {"seed": seed, "epochs": config.epochs, "transform": how}
            return study.fit(model, vj.data.Dataset(*parts), **options).best

        usual, back, again = fit(vae, binarize), fit(vae, mutate), fit(plain, binarize)
        score = lambda *which, **how: vj.evaluate.anomaly_scores(*which, key, test, **how)  # noqa: E731
        return {
            "elbo": score(vae, usual),
            "iwae": score(vae, usual, score="iwae", k=config.k),
            "ratio": score(vae, usual, background=(vae, back)),
            "autoencoder": score(plain, again),
        }

    def cell(digit: int, seed: int) -> dict:
        strange = data.test.y == digit
        return {name: vj.evaluate.auroc(s[~strange], s[strange]) for name, s in scored(digit, seed).items()}

    grid = study.grid(cell, {f"without {digit}": (digit,) for digit in config.digits})
    table = {f"{digit} left out": f"without {digit}" for digit in config.digits}
    study.table(
        "AUROC, 1 is perfect and 0.5 chance", ("digit", *NAMES.values()), grid.rows(table, dict.fromkeys(NAMES, 3))
    )
    study.lines(
        "auroc",
        {label: grid.line({f"without {d}": d for d in config.digits}, name) for name, label in NAMES.items()},
        x_label="digit that was left out",
        y_label="AUROC on test images",
        title="Mean and standard error over seeds; 0.5 is chance",
        caption="How often an image of the digit that was left out is scored as stranger than one of another digit.",
        claim="Mittas, section 1, names anomaly detection as a use of VAEs, without a figure.",
    )
    low = min(config.digits, key=lambda d: grid.mean(f"without {d}", "elbo"))
    strange, shown = data.test.y == low, []
    for score in scored(low, 0).values():
        order = np.argsort(score)
        shown += [*test[order[strange[order]][:5]], *test[order[~strange[order]][-5:]]]
    study.figure(
        "mistakes",
        vj.plots.image_grid(
            np.stack(shown), limits=(0, 1), title=f"{low} left out; rows: " + ", ".join(NAMES.values())
        ),
        caption=f"Mistakes where the {low} was left out, one row a score: left the five of that digit that are "
        "scored as most usual, right the five of the others that are scored as strangest.",
    )
    mean = {name: np.mean([grid.mean(f"without {d}", name) for d in config.digits]) for name in NAMES}
    said = ", ".join(f"{label} {mean[name]:.3f}" for name, label in NAMES.items())
    under = [str(d) for d in config.digits if grid.mean(f"without {d}", "elbo") < 0.5]
    best = max(NAMES, key=lambda name: mean[name])
    return study.finish(
        f"By {NAMES[best]} best. Mean AUROC over the digits left out: {said}. The hardest by the ELBO is the {low}: "
        f"{grid.say(f'without {low}', 'elbo', 3)}, by the likelihood ratio "
        f"{grid.say(f'without {low}', 'ratio', 3)}, by the autoencoder "
        f"{grid.say(f'without {low}', 'autoencoder', 3)}; below chance by the ELBO: {', '.join(under) or 'none'}.",
        protocol=f"{counts[0]} images of the other nine digits to train on, {counts[1]} to choose the epoch by, "
        f"{len(test)} test images of all; binarised anew in each step, the test images once (seed 0); ELBO and "
        f"ratio of one draw, IWAE-{config.k}; background model of the ratio: the same VAE on pixels of which "
        f"{SHARE} are replaced by a fair coin; ±: standard errors over seeds of training",
    )
