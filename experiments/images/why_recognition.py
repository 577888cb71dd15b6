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
from experiments.harness.study import Study
from experiments.images import recognition
from experiments.shared import pixels
from experiments.shared.phrases import failing

ORDER = 150

PARTS = {"variance / squared mean, score function": ("score", 1), "pathwise": ("pathwise", 3)}
PARTS |= {"their difference, standard errors": ("agreement", 2)}


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
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
    digits = recognition.Digits(study, pixels.load(config.data, config.train))
    each = [(decoder, of, n) for decoder in recognition.DECODERS for of in ("prior", "q") for n in config.draws]
    grid = study.grid(digits.evidence, {", ".join(map(str, how)): how for how in each})
    noise = study.grid(digits.gradients, {"gradient": ()})
    like = study.measure({"likeness": digits.likeness})["likeness"]
    study.compare("Gradients by the encoder's last layer", noise, {"after training": "gradient"}, PARTS, first="")
    title = "200 random minibatches times N / |M| against all rows"
    study.compare(title, noise, {"after training": "gradient"}, recognition.BATCHES, first="")
    study.table("Mean distance from the original", ("in", "moved", "torn"), recognition.distances(like))
    recognition.show_estimates(study, grid, config.draws, len(digits.x))
    known = recognition.show_exact(study)
    picture = vj.plots.image_grid(digits.spoilt(8), columns=8, limits=(0, 1))
    claim = "Doersch, figure 3: by pixels a torn digit is nearer than a moved one"
    study.figure("spoilt", picture, caption="Digits, moved aside, and torn.", claim=claim)
    picture, claim = vj.plots.image_grid(digits.means(30), limits=(0, 1)), "Doersch, figure 5: no encoder is needed"
    study.figure("generator", picture, caption="Means of p(x|z) for z of the prior.", claim=claim)
    last = config.draws[-1]
    gaps = {decoder: recognition.below(grid, config.draws, decoder) for decoder in recognition.DECODERS}
    far, few = recognition.of_gaps(grid, config.draws), recognition.draws_that_do(gaps, 1.0)
    part = {name: noise.say("gradient", name, places) for name, places in (PARTS | recognition.BATCHES).values()}
    times = noise.mean("gradient", "score") / noise.mean("gradient", "pathwise")
    fails, same = failing(10 <= times <= 1000), failing(like["features"] < 0.5)
    return study.finish(
        f"With {last} draws an image the estimate of log p(x) by the prior is below that by q by {far}. Both are too "
        "low on average, as so few draws count: the prior is at least as far from log p(x). q comes within 1 nat of "
        f"its own best with {few} draws (predicted: 100). In pPCA, where log p(x) is {known.say('1', 'exact', 2)}, the "
        f"prior says {known.say('1', 'naive', 1)} with one draw, {known.say('1000', 'naive', 2)} with 1000. Variance "
        f"of the gradient over its squared mean: {part['score']} by score function, {part['pathwise']} by "
        f"reparameterisation, {times:.0f} times less (predicted: 10 to 1000{fails}); their means differ by "
        f"{part['agreement']} standard errors. Random minibatches times N / |M| average {part['batch_gradient']} "
        f"standard errors from the gradient of all rows, {part['batch_value']} from their ELBO. Torn digits are closer "
        f"than moved ones in {like['pixels']:.0%} by pixels, {like['features']:.0%} by a classifier's features "
        f"(predicted: no{same}); its class is kept for {like['torn']:.0%} of torn, {like['moved']:.0%} of moved ones.",
        protocol=f"{pixels.protocol(digits.data, last, pixels='binarised once (N(mu, sigma^2 I): grey)')}; estimates: "
        f"the first {len(digits.x)} test images; gradients: 8 images, 400 draws; classifier {digits.judge}",
    )
