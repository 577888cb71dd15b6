"""Why does a VAE need a recognition model q(z|x)?

Doersch's case for an encoder: few z of the prior explain an image, and pixels are a poor measure of likeness. Naive
Monte Carlo of log p(x) against importance sampling from q(z|x); the gradient by score function and by
reparameterisation; a digit moved aside against one with a piece of its stroke missing; a generator alone.

Prediction: Naive Monte Carlo is nats below importance sampling even with 10 000 draws, q is there with 100. The score
function's variance is 10 to 1000 times that of the pathwise gradient. In pixels a torn digit is closer to the digit
than a moved one; in a classifier's features it is not.
"""

import dataclasses

import vaejax as vj
from experiments import images, recognition
from experiments.study import Study

PARTS = {"variance / squared mean, score function": ("score", 1), "pathwise": ("pathwise", 3)}
PARTS |= {"their difference, standard errors": ("agreement", 2), "batches": ("batches", 8)}


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
    digits = recognition.Digits(study, images.load(config.data, config.train))
    grid = study.grid(digits.evidence, {f"{of}, {n}": (of, n) for of in ("prior", "q") for n in config.draws})
    noise = study.grid(digits.gradients, {"gradient": ()})
    like = study.measure({"likeness": digits.likeness})["likeness"]
    study.compare("Gradients by the encoder's last layer", noise, {"after training": "gradient"}, PARTS, first="")
    study.table("Mean distance from the original", ("in", "moved", "torn"), recognition.distances(like))
    series = {of: grid.line({f"{of}, {n}": n for n in config.draws}, "log p") for of in ("prior", "q")}
    about = f"Mean estimate over {len(digits.x)} test images; bands: standard errors over seeds of the model."
    claim = "Doersch, section 2: for most z of the prior p(x|z) is nearly zero"
    labels = {"x_label": "draws of z an image", "y_label": "log p(x), nats", "log_x": True}
    study.lines("estimates", series, caption=about, claim=claim, **labels)
    about, claim = (
        "Digits, moved aside, and torn.",
        "Doersch, figure 3: by pixels a torn digit is nearer than a moved one",
    )
    picture = vj.plots.image_grid(digits.spoilt(8), columns=8, limits=(0, 1))
    study.figure("spoilt", picture, caption=about, claim=claim)
    about, claim = "Means of p(x|z) for z of the prior.", "Doersch, figure 5: the generator works without its encoder"
    study.figure("generator", vj.plots.image_grid(digits.means(30), limits=(0, 1)), caption=about, claim=claim)
    one, last, gap = config.draws[0], config.draws[-1], recognition.below(grid, config.draws)
    few = next(n for n in config.draws if gap["q"][n] < 1.0)
    part = {name: noise.say("gradient", name, places) for name, places in PARTS.values()}
    times = noise.mean("gradient", "score") / noise.mean("gradient", "pathwise")
    return study.finish(
        f"With {last} draws of the prior the estimate of log p(x) is {gap['prior'][last]:.1f} nats below that of q "
        f"({gap['prior'][one]:.0f} with {one}); q is within 1 nat of it with {few}. Of {last} draws the prior uses "
        f"{grid.say(f'prior, {last}', 'ess', 1)}, q of {grid.say(f'q, {last}', 'ess', 0)}. Variance of the gradient "
        f"over its squared mean: {part['score']} by score function, {part['pathwise']} by reparameterisation, "
        f"{times:.0f} times less (predicted 10 to 1000); the means differ by {part['agreement']} standard errors. "
        f"Batches weighted by N / |M| miss the gradient of all rows by {noise.mean('gradient', 'batches'):.0e} of its "
        f"size. A torn digit is closer than a moved one in {like['pixels']:.0%} of cases by pixels, in "
        f"{like['features']:.0%} by features of the classifier, which keeps its class for {like['torn']:.0%} "
        f"of the torn and {like['moved']:.0%} of the moved.",
        protocol=f"{images.protocol(digits.data, last, pixels='binarised once')}; estimates over the first "
        f"{len(digits.x)} test images; gradients of 8 images, 400 draws; classifier {digits.judge}",
    )
