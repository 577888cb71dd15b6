"""Is the variability of x given z useful, and is the network?

What noise of z and of x of one total variance do to an image, and what a VAE gains over pPCA with as many latents.

Prediction: For the likelihood both: without noise there is none, and the network gains 100 nats and more over pPCA
with M = 8. For drawing only z: noise of z changes the digit and stays an image, noise of x of the same variance
leaves the digit and is no image.
"""

import dataclasses
import functools

import numpy as np

from experiments.harness.study import Study, judge
from experiments.questions import variability
from experiments.shared import decoders, linear_model, pixels
from experiments.shared.scores import quality

ORDER = 220

GAIN = {"VAE, IWAE": ("iwae", 1), "pPCA, exact": ("ppca", 1), "gain": ("gain", 1), "σ": ("sigma", 3)}
LOOK = {"same digit, %": ("same", 1), "Fréchet": ("draw_frechet", 1), "precision": ("draw_precision", 2)}
KINDS = ("noise of z", "noise of x")
CLAIM = "Beaulac, section 3.7: it is unclear whether the variability of x given z is useful for drawing."


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
    sweep: tuple[int, ...] = (2, 8, 20, 32)
    """Latents."""
    shares: tuple[float, ...] = (0.0625, 0.25, 1.0)
    """Variance of the noise over the decoder's own, D sigma^2."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), sweep=(8,), shares=(0.25, 1.0))


def main(config: Config) -> dict:
    study, raw, most = Study(__name__, config), pixels.load(config.data), max(config.shares)
    data, judged = pixels.rows(raw), judge(config, raw)
    test, fitted = data.test.x, functools.partial(decoders.fitted, study, data)

    def gain(head: str, latent_dim: int, seed: int) -> dict:
        return linear_model.gain(*fitted(head, latent_dim, seed), data, k=config.k)

    def pictures(kind: str, share: float, seed: int) -> np.ndarray:
        return variability.pictures(*fitted("σ shared", config.latent_dim, seed), test, kind, share, seed)

    def change(kind: str, share: float, seed: int) -> dict:
        rows = pictures(kind, share, seed)
        same = {} if kind == "samples" else {"same": 100 * float((judged.labels(rows) == raw.test.y).mean())}
        return quality("draw", rows, test, judged) | same

    sizes = {head: {f"M = {m}, {head}": m for m in config.sweep} for head in ("σ shared", "σ* optimal")}
    shares = {kind: {f"{kind}, {share:g} Dσ²": share for share in config.shares} for kind in KINDS}
    noises = {"reconstructions": ("noise of x", 0.0)}
    noises |= {name: (kind, share) for kind, each in shares.items() for name, share in each.items()}
    noises |= {"means of samples": ("samples", 0), "draws": ("samples", 1), "means of wider z": ("samples", 2)}
    models = {name: (head, m) for head, each in sizes.items() for name, m in each.items()}
    gains, changes = study.grid(gain, models), study.grid(change, noises)
    study.compare("The network, nats", gains, [*models], GAIN, first="latents")
    study.compare("What noise does", changes, list(noises), LOOK, first="images")
    if config.data == "mnist":
        linear_model.reference(study)
    variability.lines(study, gains, sizes, changes, shares)
    latent, output, plain = (*(f"{kind}, {most:g} Dσ²" for kind in KINDS), "reconstructions")
    shown = (plain, latent, output, *list(noises)[-3:])
    picture = pixels.grid(raw, [test, *(pictures(*noises[name], 0) for name in shown)], ["test images", *shown])
    study.figure("noise", picture, caption="Test images, what is left of them with noise, and samples.", claim=CLAIM)
    say = lambda name, number="draw_precision", digits=2: changes.say(name, number, digits)  # noqa: E731
    held = "" if changes.mean(latent, "draw_precision") > changes.mean(output, "draw_precision") else "not "
    return study.finish(
        "Without noise of x there is no likelihood; over pPCA the network gains "
        f"{variability.said(gains, models, 'gain')} nats. Test images encoded and decoded keep their digit in "
        f"{say(plain, 'same', 1)} %, with noise of x of variance {most:g} Dσ² in {say(output, 'same', 1)} %, with as "
        f"much noise of z in {say(latent, 'same', 1)} %; precision {say(plain)}, {say(output)}, {say(latent)}: "
        f"{held}as predicted, by a judge trained with noise of x. Samples have the precision {say('means of samples')} "
        f"as means, {say('draws')} as draws, {say('means of wider z')} as means of z as wide as draws are.",
        protocol=pixels.protocol(raw, config.k) + "; judge: trained with noise of 0.2",
    )
