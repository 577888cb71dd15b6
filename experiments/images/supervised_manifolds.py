"""What do beta and sigma do to the latent plane and to the samples of a supervised VAE?

Prediction: A small beta: q(z) far from p(z), so that fewer means of samples are the digit asked for. A large beta:
collapse, one image a digit. Draws look worse than means, the more so the larger sigma is.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax as vj
from experiments.harness.study import Grid, Study, judge
from experiments.shared import pixels
from experiments.shared.phrases import verdict

ORDER = 80

COLUMNS = {"ELBO, nats": ("elbo", 1), "KL, nats": ("kl", 2), "std of q(z)": ("spread", 2), "MMD² to p(z)": ("mmd", 4)}
COLUMNS |= {"active": ("active", 1), "means right": ("mean_right", 3), "draws right": ("ancestral_right", 3)}
COLUMNS |= {"σ": ("sigma", 3)}
BETAS = {"small β": "F9: β = 0.01", "medium β": "F10: β = 5", "large β": "F11: β = 100"}
FIXED = ("σ = 0.1", "σ = 0.3", "σ = 1")
REACH = 2.0  # the latent plane is drawn from -REACH to REACH

SETTINGS = {
    "small β": ("shared", 0.01),
    "medium β": ("shared", 5.0),
    "large β": ("shared", 100.0),
    "σ a pixel": ("per_pixel", 5.0),
    "σ = 0.1": (0.1, 1.0),
    "σ = 0.3": (0.3, 1.0),
    "σ = 1": (1.0, 1.0),
}


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


class Supervised:
    """Fits of q(z | x, y), p(x | z, y) of one study, by the name of their setting and their seed."""

    def __init__(self, study: Study, config: Any, data: vj.data.Dataset):
        self.study, self.config, self.data = study, config, data

    def fitted(self, name: str, seed: int = 0) -> tuple[Any, Any]:
        """Model and parameters; finished fits are read."""
        config = self.config
        scale, weight = SETTINGS[name if name in config.settings else config.settings[0]]
        how = {"likelihood": vj.heads.normal(scale), "objective": vj.objectives.beta(weight)}
        model = vj.zoo.conditional_vae(self.data.train.x.shape[1:], 2, 10, hidden=config.hidden, **how)
        fit = self.study.fit(model, self.data, seed=seed, epochs=config.epochs, context="labels")
        return model, fit.params

    def samples(self, name: str, labels: Any, seed: int = 0, **how: Any) -> np.ndarray:
        """One image a label; the z are the same for all settings."""
        sampler = vj.evaluate.from_prior(*self.fitted(name, seed), **how)
        return vj.evaluate.draw_rows(sampler, jax.random.key(7), len(labels), np.asarray(labels))

    def fours(self, name: str, count: int, **how: Any) -> np.ndarray:
        """So many fours, the same z for all settings."""
        return self.samples(name, np.full(count, 4), **how)

    def offsets(self, name: str) -> np.ndarray:
        """Two fours, each at mean + k sigma for k = -2 to 2."""
        each = [self.samples(name, [4, 4], mode="offset", offset=float(k)) for k in range(-2, 3)]
        return np.stack(each, 1).reshape(-1, *each[0].shape[1:])

    def plane(self, name: str, digit: int) -> np.ndarray:
        """Decodes over the latent plane."""
        return np.asarray(vj.evaluate.draw.plane(*self.fitted(name), digit, steps=self.config.side, limit=REACH))

    def extents(self, parts: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
        """Which panels of a picture are of the latent plane, by their number of images, and its sides."""
        return {title: (-REACH, REACH) * 2 for title, part in parts.items() if len(part) == self.config.side**2}

    def codes(self, name: str, seed: int = 0, count: int | None = None) -> np.ndarray:
        """A draw of q(z | x, y) for test images."""
        test, key = self.data.test.take(slice(0, count)), jax.random.key(seed)
        return vj.evaluate.encode_rows(*self.fitted(name, seed), key, test.x, test.y)

    def labelled_codes(self, name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        """A draw of q(z | x, y) for the first test images, and their labels."""
        return self.codes(name, count=count), self.data.test.y[:count]

    def numbers(self, name: str, judge: vj.evaluate.classifier.Classifier, seed: int) -> dict[str, Any]:
        """Bound, latents, and how often the classifier sees the digit that a sample was asked to be."""
        (model, params), test, key = self.fitted(name, seed), self.data.test, jax.random.key(seed)
        labels, found = np.arange(1000) % 10, vj.evaluate.run(model, params, key, test.x, test.y, k=1, quick=True)
        right = {
            f"{mode}_right": np.mean(judge.labels(self.samples(name, labels, seed, mode=mode)) == labels)
            for mode in ("mean", "ancestral")
        }
        z = self.codes(name, seed)
        centre = jax.vmap(lambda y: model.likelihood(params, jnp.zeros(2), y).stddev)(jnp.arange(10))
        return right | {
            "elbo": found["elbo"].value,
            "kl": found["kl"].value,
            "active": vj.evaluate.active_units(model, params, test.x, test.y).count,
            "mmd": vj.evaluate.mmd(z, np.random.default_rng(seed).normal(size=z.shape), 1.0),
            "spread": z.std(),
            "sigma": jnp.mean(centre),
        }


def asked_and_seen(grid: Grid, names: Sequence[str], betas: Mapping[str, str], fixed: Sequence[str]) -> str:
    """Sentences: q(z) by beta, and how often samples are the digit asked for.

    Args:
      grid: the `numbers` of the settings.
      names: of all settings.
      betas: `{setting: what its beta is}`, the smallest first.
      fixed: settings of a fixed sigma, the smallest first.
    """
    wide = "; ".join(f"{beta} {grid.say(n, 'mmd', 4)}, {grid.say(n, 'active', 1)}" for n, beta in betas.items())
    means, draws = ({n: grid.mean(n, f"{mode}_right") for n in names} for mode in ("mean", "ancestral"))
    right = [f"{n} {grid.say(n, 'mean_right', 3)}, {grid.say(n, 'ancestral_right', 3)}" for n in names]
    said = (
        f"MMD² of q(z) to p(z), and active latents: {wide}. The classifier sees the digit asked for in so many means "
    )
    said += (
        f"of samples, and so many draws: {'; '.join(right)}. The best draws are those with {max(draws, key=draws.get)}."
    )
    if len(betas) > 1:
        least, other = list(betas)[:2]
        farther = grid.mean(least, "mmd") > grid.mean(other, "mmd")
        fewer = means[least] < means[other]
        said += f" The least β has its q(z) {'farther from' if farther else 'no farther from'} p(z) than the next and "
        said += f"{'fewer' if fewer else 'no fewer'} means right ({verdict(farther and fewer)}); the greatest β leaves "
        said += f"{grid.say(list(betas)[-1], 'active', 1)} active latents "
        said += f"({verdict(grid.mean(list(betas)[-1], 'active') < 0.5)})."
    lost = {n: means[n] - draws[n] for n in names}
    said += f" Draws are {'' if min(lost.values()) > 0 else 'not '}worse than means with every decoder"
    if fixed:
        more = [lost[n] for n in fixed]
        said += (
            f", by {', '.join(f'{lost[n]:.3f} with {n}' for n in fixed)}: {'' if more == sorted(more) else 'not '}the "
        )
        said += f"more so the larger σ is ({verdict(more == sorted(more))})"
    return said + "."


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
