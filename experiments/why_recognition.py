"""Why does a VAE need a recognition model q(z|x)?

Doersch's case for an encoder: few z of the prior explain an image, and pixels are a poor measure of likeness. Naive
Monte Carlo of log p(x) against importance sampling from q(z|x); the gradient by score function and by
reparameterisation; a digit moved aside against one with a piece of its stroke missing; a generator alone.

Prediction: Naive Monte Carlo is nats below importance sampling even with 10 000 draws, q is there with 100. The score
function's variance is 10 to 1000 times that of the pathwise gradient. In pixels a torn digit is closer to the digit
than a moved one; in a classifier's features it is not.
"""

import dataclasses
import functools

import jax
import numpy as np

import vaejax as vj
from experiments import images, recognition
from experiments.scores import samples
from experiments.study import Study, judge

PARTS = {"score": 1, "pathwise": 3, "agreement": 2, "batches": 8}
COLUMNS = ("", "variance / squared mean, score function", "pathwise", "their difference, standard errors", "batches")


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    train: int = 10_000
    """Images to train on."""
    epochs: int = 20
    """Passes over them."""
    test: int = 64
    """Test images whose likelihood is estimated."""
    draws: tuple[int, ...] = (1, 10, 100, 1000, 10_000)
    """Draws of z an image."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), test=8, draws=(1, 100))

    @classmethod
    def full(cls) -> "Config":
        return dataclasses.replace(super().full(), train=0, test=1000)


def main(config: Config) -> dict:
    study = Study(__name__, config)
    data = images.load(config.data, config.train)
    binary = images.rows(data, images.binary)
    x = binary.test.x[: config.test]

    @functools.cache
    def fitted(seed: int) -> tuple:
        model = vj.zoo.vae(x.shape[1], config.latent_dim, hidden=config.hidden)
        return model, study.fit(model, binary, seed=seed, epochs=config.epochs).best

    def evidence(proposal: str, draws: int, seed: int) -> dict:
        model, params = fitted(seed) if proposal == "q" else recognition.unseeing(*fitted(seed))
        found = vj.evaluate.log_evidence_estimate(model, params, jax.random.key(seed), x, k=draws, progress=False)
        return {"log p": found.mean[0], "error": np.mean(found.standard_error), "ess": np.mean(found.ess)}

    def gradients(seed: int) -> dict:
        apart = recognition.by_batches(*fitted(seed), jax.random.key(0), binary.train.x[:512], batch=128)
        return recognition.gradients(*fitted(seed), x[:8]) | {"batches": apart}

    grid = study.grid(evidence, {f"{of}, {n}": (of, n) for of in ("prior", "q") for n in config.draws})
    noise = study.grid(gradients, {"gradient": ()})
    grey, named = images.grey(data.test), judge(config, data)
    like = study.measure({"likeness": lambda: recognition.likeness(grey[:500], named)})["likeness"]
    study.table("Gradients by the encoder's last layer", COLUMNS, noise.rows({"after training": "gradient"}, PARTS))
    rows = [(way, *(f"{like[f'{way}, {how}']:.2f}" for how in ("moved", "torn"))) for way in ("pixels", "features")]
    study.table("Mean distance from the original", ("in", "moved", "torn"), rows)
    series = {of: grid.line({f"{of}, {n}": n for n in config.draws}, "log p") for of in ("prior", "q")}
    about = f"Mean estimate over {len(x)} test images; bands: standard errors over seeds of the model."
    claim = "Doersch, section 2: for most z of the prior p(x|z) is nearly zero"
    labels = {"x_label": "draws of z an image", "y_label": "log p(x), nats", "log_x": True}
    study.lines("estimates", series, caption=about, claim=claim, **labels)
    spoilt = np.concatenate([grey[:8], *recognition.spoilt(grey[:8])])
    about, claim = (
        "Digits, moved aside, and torn.",
        "Doersch, figure 3: by pixels a torn digit is closer than a moved one",
    )
    study.figure("spoilt", vj.plots.image_grid(spoilt, columns=8, limits=(0, 1)), caption=about, claim=claim)
    drawn = samples(*fitted(0), 1, 30, mode="mean").reshape(-1, *data.train.x.shape[1:])
    about, claim = "Means of p(x|z) for z of the prior.", "Doersch, figure 5: the generator works without its encoder"
    study.figure("generator", vj.plots.image_grid(drawn, limits=(0, 1)), caption=about, claim=claim)
    one, last = config.draws[0], config.draws[-1]
    gap = {n: grid.mean(f"q, {last}", "log p") - grid.mean(f"prior, {n}", "log p") for n in config.draws}
    few = next(n for n in config.draws if grid.mean(f"q, {last}", "log p") - grid.mean(f"q, {n}", "log p") < 1.0)
    part = {name: noise.say("gradient", name, digits) for name, digits in PARTS.items()}
    times = noise.mean("gradient", "score") / noise.mean("gradient", "pathwise")
    return study.finish(
        f"With {last} draws of the prior the estimate of log p(x) is {gap[last]:.1f} nats below that of q "
        f"({gap[one]:.0f} with {one}); q is within 1 nat of it with {few}. Of {last} draws the prior makes use of "
        f"{grid.say(f'prior, {last}', 'ess', 1)}, q of {grid.say(f'q, {last}', 'ess', 0)}. Variance of the gradient "
        f"over its squared mean: {part['score']} by score function, {part['pathwise']} by reparameterisation, "
        f"{times:.0f} times less (predicted 10 to 1000); the means differ by {part['agreement']} standard errors. "
        f"Batches weighted by N / |M| miss the gradient of all rows by {noise.mean('gradient', 'batches'):.0e} of its "
        f"size. A torn digit is closer than a moved one in {like['pixels']:.0%} of cases by pixels, in "
        f"{like['features']:.0%} by features of the classifier, which keeps its class for {like['torn']:.0%} "
        f"of the torn and {like['moved']:.0%} of the moved.",
        protocol=f"{images.protocol(data, last, pixels='binarised once')}; estimates over the first {len(x)} test "
        f"images; gradients of 8 images, 400 draws; classifier {named}",
    )
