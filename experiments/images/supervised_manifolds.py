"""What do beta and sigma do to the latent plane and to the samples of a supervised VAE?

Prediction: A small beta: q(z) far from p(z), so that fewer means of samples are the digit asked for. A large beta:
collapse, one image a digit. Draws look worse than means, the more so the larger sigma is.
"""

import dataclasses

import vaejax as vj
from experiments.harness.study import Study, judge
from experiments.images.supervised import SETTINGS, Supervised, asked_and_seen
from experiments.shared import pixels

ORDER = 80

COLUMNS = {"ELBO, nats": ("elbo", 1), "KL, nats": ("kl", 2), "std of q(z)": ("spread", 2), "MMD² to p(z)": ("mmd", 4)}
COLUMNS |= {"active": ("active", 1), "means right": ("mean_right", 3), "draws right": ("ancestral_right", 3)}
COLUMNS |= {"σ": ("sigma", 3)}
BETAS = {"small β": "F9: β = 0.01", "medium β": "F10: β = 5", "large β": "F11: β = 100"}
FIXED = ("σ = 0.1", "σ = 0.3", "σ = 1")


@dataclasses.dataclass(frozen=True)
class Config(pixels.Config):
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
    family = Supervised(study, config, pixels.load(config.data, config.part))
    classifier = judge(config, pixels.load(config.data))
    grid = study.grid(family.numbers, {name: (name, classifier) for name in config.settings})
    study.compare("Test images given their labels", grid, config.settings, COLUMNS, first="decoder")

    def draw(name: str, parts: dict, about: str, claim: str, **how) -> None:
        picture = vj.plots.panels(parts, extents=family.extents(parts), **how)
        study.figure(name, picture, caption=about, claim=f"Beaulac, {claim}")

    parts = {"F1: learned σ, β = 5": family.plane("medium β", 4), "F7: σ = 1": family.plane("σ = 1", 4)}
    claim = "figures 1 and 7: the manifold of the four is smooth."
    draw("four", parts, "μ(z) of the digit four over the latent plane.", claim, across=config.side)
    shown = {"F2: means, learned σ": ("medium β", "mean"), "F3: draws, learned σ": ("medium β", "ancestral")}
    shown |= {"F4: draws, a σ for each pixel": ("σ a pixel", "ancestral"), "F8: means, σ = 1": ("σ = 1", "mean")}
    parts = {title: family.fours(name, 10, mode=mode) for title, (name, mode) in shown.items()}
    claim = "figures 2, 3, 4 and 8: means look good, draws with their noise look horrible."
    draw("samples", parts, "The same ten z in every row, values cut to [0, 1].", claim, columns=1)
    parts = {"F5: learned σ": family.offsets("medium β"), "F6: a σ for each pixel": family.offsets("σ a pixel")}
    claim = "figures 5 and 6: one quantile for all pixels is an image."
    draw("offsets", parts, "μ + kσ for k = -2 to 2, two z: every pixel at the same quantile.", claim, across=5)
    parts = {f"{title}, q(z)": family.labelled_codes(name, 400) for name, title in BETAS.items()}
    parts |= {f"{title}, nines": family.plane(name, 9) for name, title in BETAS.items()}
    claim = "figures 9 to 11: small β leaves q(z) far from p(z), large β gives one image whatever z is."
    about = "Above draws of q(z) by digit, with 1 and 2 standard deviations of p(z), below μ(z) of the nine."
    draw("betas", parts, about, claim, across=config.side, prior=True)
    parts, claim = {f"F12: {name}": family.plane(name, 4) for name in FIXED}, "figure 12: manifolds by a fixed σ."
    draw("fixed_sigma", parts, "μ(z) of the four over the latent plane.", claim, across=config.side)
    parts = {f"F13, F14: {name}": family.fours(name, 20) for name in FIXED}
    claim = "figures 13 and 14: a fixed small σ makes draws good."
    draw("fixed_draws", parts, "Draws of fours with their noise, values cut to [0, 1].", claim, columns=1)
    betas = {name: title.split(": ")[1] for name, title in BETAS.items() if name in config.settings}
    return study.finish(
        asked_and_seen(grid, config.settings, betas, [name for name in FIXED if name in config.settings]),
        protocol=f"{pixels.protocol(family.data, 1)}; given the labels; MMD²: bandwidth 1; classifier: {classifier}",
    )
