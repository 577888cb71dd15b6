"""What do beta and sigma do to the latent plane and to the samples of a supervised VAE?

The supervised VAE with two latents: manifolds and samples by beta and by sigma (Beaulac, figures 1 to 14).

Prediction: A small beta: q(z) far from p(z), so that fewer means of samples are the digit asked for. A large beta:
collapse, one image a digit. Draws look worse than means, the more so the larger sigma is.
"""

import dataclasses

import numpy as np

import vaejax as vj
from experiments import images
from experiments.study import Study, judge
from experiments.supervised import SETTINGS, Supervised

NUMBERS = {"elbo": 1, "kl": 2, "spread": 2, "mmd": 4, "active": 1, "mean_right": 3, "ancestral_right": 3, "sigma": 3}
COLUMNS = (
    "decoder",
    "ELBO, nats",
    "KL, nats",
    "std of q(z)",
    "MMD² to p(z)",
    "active",
    "means right",
    "draws right",
    "σ",
)
BETAS = {"small β": "F9: β = 0.01", "medium β": "F10: β = 5", "large β": "F11: β = 100"}
FIXED = ("σ = 0.1", "σ = 0.3", "σ = 1")


@dataclasses.dataclass(frozen=True)
class Config(images.Config):
    hidden: tuple[int, ...] = (256,)
    part: int = 20_000
    """Training images."""
    side: int = 10
    """Images along a side of a manifold."""
    settings: tuple[str, ...] = tuple(SETTINGS)
    """What is fitted; the first stands for those that are left out."""

    @classmethod
    def smoke(cls) -> "Config":
        return dataclasses.replace(super().smoke(), side=5, settings=("medium β", "σ a pixel"))

    @classmethod
    def full(cls) -> "Config":
        return dataclasses.replace(super().full(), part=0, hidden=(512, 512))


def main(config: Config) -> dict:
    study = Study(__name__, config)
    family = Supervised(study, config, images.load(config.data, config.part))
    classifier = judge(config, images.load(config.data))
    grid = study.grid(
        lambda name, seed: family.numbers(name, classifier, seed), {name: (name,) for name in config.settings}
    )
    study.table("Test images given their labels", COLUMNS, grid.rows({name: name for name in config.settings}, NUMBERS))

    def draw(name: str, parts: dict, caption: str, claim: str, **how) -> None:
        study.figure(name, vj.plots.panels(parts, **how), caption=caption, claim=claim)

    parts = {"F1: learned σ, β = 5": family.plane("medium β", 4), "F7: σ = 1": family.plane("σ = 1", 4)}
    caption = "μ(z) of the digit four, both latents from -2 to 2."
    draw("four", parts, caption, "Beaulac, figures 1 and 7: the manifold of the four is smooth.", across=config.side)
    four = lambda name, **how: family.samples(name, np.full(10, 4), **how)  # noqa: E731
    parts = {
        "F2: means, learned σ": four("medium β", mode="mean"),
        "F3: draws, learned σ": four("medium β"),
        "F4: draws, a σ for each pixel": four("σ a pixel"),
        "F8: means, σ = 1": four("σ = 1", mode="mean"),
    }
    claim = "Beaulac, figures 2, 3, 4 and 8: means look good, draws with their noise look horrible."
    draw("samples", parts, "The same ten z in every row, values cut to [0, 1].", claim, columns=1)
    parts = {
        title: np.concatenate([family.samples(name, [4, 4], mode="offset", offset=float(k)) for k in range(-2, 3)])
        for title, name in (("F5: learned σ", "medium β"), ("F6: a σ for each pixel", "σ a pixel"))
    }
    parts = {title: x.reshape(5, 2, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape) for title, x in parts.items()}
    caption = "μ + kσ for k = -2 to 2, two z: every pixel at the same quantile."
    draw("offsets", parts, caption, "Beaulac, figures 5 and 6: one quantile for all pixels is an image.", across=5)
    labels = family.data.test.y[:400]
    parts = {f"{title}, q(z)": (family.codes(name, count=400), labels) for name, title in BETAS.items()}
    parts |= {f"{title}, nines": family.plane(name, 9) for name, title in BETAS.items()}
    claim = "Beaulac, figures 9 to 11: small β leaves q(z) far from p(z), large β gives one image whatever z is."
    caption = "Above draws of q(z) by digit, below μ(z) of the nine, both latents from -2 to 2."
    draw("betas", parts, caption, claim, across=config.side)
    parts = {f"F12: {name}": family.plane(name, 4) for name in FIXED}
    parts |= {f"F13, F14: draws, {name}": family.samples(name, np.full(config.side * 3, 4)) for name in FIXED}
    claim = "Beaulac, figures 12 to 14: a fixed small σ makes draws good."
    draw("fixed_sigma", parts, "Above μ(z) of the four, below draws with their noise.", claim, across=config.side)
    say, betas = grid.say, [(name, title) for name, title in BETAS.items() if name in config.settings]
    best = max(config.settings, key=lambda name: grid.mean(name, "ancestral_right"))
    right = lambda name: f"{say(name, 'mean_right', 3)} of the means and {say(name, 'ancestral_right', 3)} of the draws"  # noqa: E731
    return study.finish(
        "MMD² of q(z) to p(z), and active latents: "
        + ", ".join(f"{title.split(': ')[1]} {say(name, 'mmd', 4)}, {say(name, 'active', 1)}" for name, title in betas)
        + ". The classifier sees the digit asked for in "
        + "; ".join(f"{right(name)} with {name}" for name in config.settings)
        + f". The best draws are those with {best}.",
        protocol=f"{images.protocol(family.data, 1)}; given the labels; MMD²: bandwidth 1; classifier: {classifier}",
    )
