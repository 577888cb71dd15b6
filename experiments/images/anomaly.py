"""Does a VAE that was trained without a digit find that digit strange?

Anomalies: does a VAE that never saw a digit find it strange, by bound, likelihood ratio or reconstruction? One digit
is left out of training and validation; its test images are the strange ones, those of the others the usual.

Prediction: AUROC above 0.9 for the 0, near 0.5 or below for the 1, whose few strokes any model finds likely, and for
the 9, which the 4 and the 7 explain. The likelihood ratio helps with the 1; draws change little.
"""

import dataclasses

import numpy as np

import vaejax as vj
from experiments.harness.study import Study
from experiments.images import strangeness
from experiments.images.strangeness import NAMES
from experiments.shared import pixels

ORDER = 110

CAPTION = "How often an image of the digit that was left out is scored as stranger than one of another digit. "
CAPTION += "Bars: standard errors over seeds, where they are longer than the dots."
CLAIM = "Mittas, section 1, names anomaly detection as a use of VAEs, without a figure."


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
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


def main(config: Config) -> dict:
    study = Study(__name__, config)
    data = pixels.load(config.data, test=3000)
    counts = strangeness.counts(data, config.train)
    sizes, test = (data.train.x.shape[1:], config.latent_dim), pixels.binary(data.test)
    vae, plain = (zoo(*sizes, hidden=config.hidden) for zoo in (vj.zoo.vae, vj.zoo.autoencoder))

    def scored(digit: int, seed: int) -> dict[str, np.ndarray]:
        rest = strangeness.without(data, digit, counts)
        binarize, how = vj.transforms.binarize, {"seed": seed, "epochs": config.epochs}
        usual, again = (study.fit(model, rest, transform=binarize, **how).best for model in (vae, plain))
        background = study.fit(vae, rest, transform=strangeness.mutate, **how).best
        return strangeness.scored(vae, usual, background, (plain, again), test, config.k)

    def cell(digit: int, seed: int) -> dict:
        strange = data.test.y == digit
        return {name: vj.evaluate.auroc(s[~strange], s[strange]) for name, s in scored(digit, seed).items()}

    over = {f"without {digit}": digit for digit in config.digits}
    grid = study.grid(cell, {name: (digit,) for name, digit in over.items()})
    rows, columns = {f"{d} left out": name for name, d in over.items()}, {NAMES[name]: (name, 3) for name in NAMES}
    study.compare("AUROC, 1 is perfect and 0.5 chance", grid, rows, columns, first="digit")
    figure, series = strangeness.by_digit(grid, over)
    study.figure("auroc", figure, caption=CAPTION, claim=CLAIM, series=series)
    low = min(over, key=lambda name: grid.mean(name, "elbo"))
    strangeness.draw_mistakes(study, scored(over[low], 0), data.test, over[low])
    said = ", ".join(f"{grid.say(variant, 'elbo', 3)} for the {digit}" for variant, digit in over.items())
    more, side = strangeness.of_ratio(grid, low)
    change = max(abs(grid.mean(variant, "iwae") - grid.mean(variant, "elbo")) for variant in over)
    return study.finish(
        f"AUROC by the ELBO: {said} (predicted: above 0.9 for the 0, near 0.5 or below for the 1 and the 9). The "
        f"hardest is the {over[low]}, where the likelihood ratio has {grid.say(low, 'ratio', 3)} ({more}, predicted "
        f"for the 1: higher; {side} chance) and the autoencoder {grid.say(low, 'autoencoder', 3)}. IWAE-{config.k} "
        f"changes the mean of no digit by more than {change:.3f} (predicted: little). "
        f"{strangeness.compared(grid, over)}.",
        protocol=f"{counts[0]} images of the other nine digits to train on, {counts[1]} to choose the epoch by, "
        f"{len(test)} test images of all; binarised anew in each step, the test images once (seed 0); ELBO and "
        f"ratio of one draw, IWAE-{config.k}; background model of the ratio: the same VAE on pixels of which "
        f"{strangeness.SHARE} are replaced by a fair coin; ±: standard errors over seeds of training",
    )
